"""A mail as a value, and the message made from it: equal mails give equal bytes.

Nothing that a person typed can add a header or a recipient: control characters in a subject or a file's name become
spaces, and a recipient is one address or none.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from json import dumps

from workers.errors import SettingsInvalid
from workers.mail.errors import MailUnsendable

MAX_ADDRESS, MAX_NAME = 254, 64
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_MAX_LOCAL = 64


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail."""

    filename: str
    content: bytes
    maintype: str = "application"
    subtype: str = "pdf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """One mail to one recipient. `sender` is an address, or a name with an address in angle brackets."""

    message_id: str
    sender: str
    recipient: str
    subject: str
    body: str
    created_at: datetime
    attachment: Attachment | None = None


class _Policy(EmailPolicy):
    """The library's, which in some versions of Python loses spaces where it breaks a long subject that is not ASCII."""

    def fold(self, name: str, value: str) -> str:
        if name != "Subject" or str(value).isascii():
            return str(super().fold(name, value))
        folded = Header(str(value), "utf-8", header_name=name).encode(linesep=self.linesep)
        return f"{name}: {folded}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii")


_POLICY = _Policy(linesep="\r\n", cte_type="7bit")


def message_id_of(*parts: str, domain: str) -> str:
    """The Message-ID of the mail with this key, the same for ever: `message_id_of("receipt", number, recipient, …)`."""
    digest = sha256(dumps(parts).encode()).hexdigest()[:40]
    return f"<{digest}@{domain}>"


def domain_of(sender: str) -> str:
    """The domain of `sender`, in ASCII. Raises SettingsInvalid where `sender` cannot be one."""
    return _sender(sender).domain


def message_of(mail: Mail) -> EmailMessage:
    """Raises MailUnsendable for a recipient, and SettingsInvalid for a sender, that is no single valid address."""
    message = EmailMessage(_POLICY)
    message["Message-ID"] = mail.message_id
    message["Date"] = format_datetime(mail.created_at.astimezone(UTC))
    message["From"] = _sender(mail.sender)
    message["To"] = _recipient(mail.recipient)
    message["Subject"] = _one_line(mail.subject)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_valid(mail.body))
    if mail.attachment is not None:
        message.add_attachment(
            mail.attachment.content,
            maintype=mail.attachment.maintype,
            subtype=mail.attachment.subtype,
            filename=_one_line(mail.attachment.filename),
        )
        # Else it is drawn by lot, and the same mail would be another file each time.
        message.set_boundary(f"=-{sha256(mail.message_id.encode()).hexdigest()[:40]}")
    return message


def _recipient(text: str) -> Address:
    address = _address(text)
    if address is None:
        raise MailUnsendable(
            f"{_one_line(text)[:MAX_ADDRESS]!r} is no single e-mail address, as in li.na@acme.example"
        )
    return address


def _sender(text: str) -> Address:
    name, bare = parseaddr(text) if text.rstrip().endswith(">") else ("", text)
    address = _address(bare)
    # The library breaks the header of a longer name in the wrong place.
    if address is None or len(name) > MAX_NAME:
        raise SettingsInvalid(
            f"COINS_MAIL_FROM: {_one_line(text)!r} is no single e-mail address, as in coins@acme.example, "
            f"or with a name of up to {MAX_NAME} characters, as in Acme Coins <coins@acme.example>"
        )
    return Address(_one_line(name), address.username, address.domain)


def _address(text: str) -> Address | None:
    """Domains may have any letters (they have an ASCII form); the part before the @ is ASCII, as most servers want it."""
    local, _, domain = text.strip(" ").rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode() if not domain.isascii() else domain
    except UnicodeError:
        return None
    if "=?" in local or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain):
        return None
    if len(local) > _MAX_LOCAL or len(local) + 1 + len(ascii_domain) > MAX_ADDRESS:
        return None
    return Address(username=local, domain=ascii_domain)


def _one_line(text: str) -> str:
    """With a space for every line end and control character, and for what the library would decode into one (=?…?=)."""
    spaced = "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)
    return " ".join(_valid(spaced).replace("=?", "= ?").split())


def _valid(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")
