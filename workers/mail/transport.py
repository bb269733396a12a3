"""How mails leave: to a mail server, or into a directory where there is none."""

from __future__ import annotations

import re
import smtplib
import ssl
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from workers.errors import FileNotWritten
from workers.mail.errors import MailDelayed, MailError, MailRefused, ServerAway
from workers.mail.message import Mail, message_of
from workers.mail.server import SmtpServer, server_of
from workers.whole import whole_file

TIMEOUT_SECONDS = 20
_MAX_REPLY = 300
_MAX_NAME = 120
# The server wants encryption or another login: permanent by their number, but ours to mend.
_OURS_TO_MEND = frozenset({530, 534, 535, 538})


class Transport(Protocol):
    """Sends one mail after the other. Not for two threads at once."""

    def send(self, mail: Mail) -> None:
        """Raises MailRefused where trying again is pointless, MailDelayed where it is not, SettingsInvalid for the sender;
        of what is delayed, ServerAway where it would be the same with every other mail.

        After MailDelayed the mail may have been taken all the same, when the connection broke before the answer.
        """

    def close(self) -> None: ...


def transport_for(smtp_url: str | None, directory: Path) -> Transport:
    """The server of `COINS_SMTP_URL`; without one, files in `directory`. Raises SettingsInvalid for a bad URL."""
    return FileTransport(directory) if smtp_url is None else SmtpTransport(server_of(smtp_url))


class SmtpTransport:
    """Keeps one connection over several mails, and makes it anew when the server has closed it."""

    def __init__(self, server: SmtpServer, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._connection: smtplib.SMTP | None = None

    def send(self, mail: Mail) -> None:
        message = message_of(mail)
        try:
            self._connected().send_message(message)
        except MailError:
            raise
        except smtplib.SMTPRecipientsRefused as refused:
            raise self._judged("the recipient", *next(iter(refused.recipients.values()))) from None
        except smtplib.SMTPSenderRefused as refused:
            raise self._judged("the sender", refused.smtp_code, refused.smtp_error) from None
        except smtplib.SMTPDataError as refused:
            raise self._judged("the mail", refused.smtp_code, refused.smtp_error) from None
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise ServerAway(f"{self._server}: {self._in_words(error)}") from None

    def close(self) -> None:
        if self._connection is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
            self._drop()

    def _connected(self) -> smtplib.SMTP:
        if self._connection is not None and not _alive(self._connection):
            self._drop()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.implicit_tls:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout_seconds, context=server.context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout_seconds)
        try:
            self._protect(connection)
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _protect(self, connection: smtplib.SMTP) -> None:
        connection.ehlo_or_helo_if_needed()
        if self._server.implicit_tls or self._server.starttls == "never":
            return
        if connection.has_extn("starttls"):
            connection.starttls(context=self._server.context)
            connection.ehlo()
        elif self._server.starttls == "required":
            raise ServerAway(
                f"{self._server}: offers no encryption (STARTTLS), so neither password nor mail was sent; "
                "use smtps:// or, on a network that is safe, ?starttls=never"
            )

    def _judged(self, what: str, code: int, reply: bytes | str) -> MailError:
        if code == 421:
            self._drop()
        refused = 500 <= code < 600 and code not in _OURS_TO_MEND
        away = code == 421 or code in _OURS_TO_MEND
        kind = MailRefused if refused else ServerAway if away else MailDelayed
        verdict = "refused" if refused else "does not take now"
        return kind(f"{self._server}: {verdict} {what}: {code} {self._said(reply)}")

    def _in_words(self, error: Exception) -> str:
        match error:
            case smtplib.SMTPAuthenticationError():
                # What the server says here may repeat what we sent.
                return f"does not accept user and password ({error.smtp_code}); mend COINS_SMTP_URL"
            case smtplib.SMTPResponseException():
                return f"{error.smtp_code} {self._said(error.smtp_error)}"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not valid: {error.verify_message}; name a CA of your own with ?cafile="
            case TimeoutError():
                return f"no answer within {self._timeout_seconds:g} s"
            case OSError() if not isinstance(error, smtplib.SMTPException):
                return f"cannot be reached: {error.strerror or error}"
        return str(error)

    def _said(self, reply: bytes | str) -> str:
        text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
        return " ".join(text.split())[:_MAX_REPLY]

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class FileTransport:
    """Writes each mail to a file of its own, whole or not at all; the same mail again gives the same file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def send(self, mail: Mail) -> None:
        content = message_of(mail).as_bytes()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with whole_file(self._directory / f"{_file_name(mail.message_id)}.eml") as part:
                part.touch(mode=0o600)  # it is its recipient's
                part.write_bytes(content)
        except OSError as error:
            raise ServerAway(f"{self._directory}: cannot be written: {error.strerror or error}") from error
        except FileNotWritten as error:
            # A full disk is in every mail's way, a directory of its file's name only in this one's.
            kind = ServerAway if isinstance(error.__cause__, OSError) else MailDelayed
            raise kind(str(error)) from error

    def close(self) -> None:
        pass


def _alive(connection: smtplib.SMTP) -> bool:
    try:
        return connection.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False


def _file_name(message_id: str) -> str:
    bare = message_id.strip("<>")
    safe = re.sub(r"[^A-Za-z0-9@._-]", "_", bare).lstrip(".")[:_MAX_NAME]
    # Two ids that differ only in what a file's name cannot have must not share a file.
    return safe if safe == bare else f"{safe}-{sha256(message_id.encode()).hexdigest()[:12]}"
