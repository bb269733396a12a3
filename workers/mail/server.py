"""The mail server that `COINS_SMTP_URL` names."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from workers.errors import SettingsInvalid

StartTls = Literal["required", "auto", "never"]
_SUBMISSION_PORT, _IMPLICIT_TLS_PORT = 587, 465


@dataclass(frozen=True, kw_only=True, slots=True)
class SmtpServer:
    """Where mail goes, and how it is protected on the way there."""

    host: str
    port: int
    implicit_tls: bool
    starttls: StartTls
    context: ssl.SSLContext
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def server_of(url: str) -> SmtpServer:
    """Read `smtp://[user:password@]host[:port][?starttls=required|auto|never][&cafile=FILE]` or `smtps://…`.

    STARTTLS is required where there are credentials, else used where it is offered. Certificates are verified.
    Raises SettingsInvalid with what is wrong, never with the password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
        user, password = _ascii(parts.username), _ascii(parts.password)
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _invalid("cannot be read; percent-encode what is special in user and password") from None
    if parts.scheme not in ("smtp", "smtps"):
        raise _invalid("must begin with smtp:// or smtps://")
    if not host or parts.path.strip("/") or parts.fragment:
        raise _invalid("must name a host and no path; percent-encode what is special in user and password")
    if (user is None) != (password is None) or user == "":
        raise _invalid("must have both a user and a password, or neither")
    if set(options) - {"starttls", "cafile"}:
        # Unnamed: it may be the rest of a password with a question mark.
        raise _invalid("has other options than starttls and cafile")
    implicit_tls = parts.scheme == "smtps"
    return SmtpServer(
        host=host,
        port=port or (_IMPLICIT_TLS_PORT if implicit_tls else _SUBMISSION_PORT),
        implicit_tls=implicit_tls,
        starttls=_starttls(options, implicit_tls=implicit_tls, credentials=user is not None),
        context=_context(options),
        user=user,
        password=password,
    )


def _ascii(text: str | None) -> str | None:
    """Raises ValueError for what smtplib could not send, and for control characters."""
    decoded = None if text is None else unquote(text, errors="strict")
    if decoded is not None and not (decoded.isascii() and decoded.isprintable()):
        raise ValueError("credentials must be printable ASCII")
    return decoded


def _starttls(options: dict[str, list[str]], *, implicit_tls: bool, credentials: bool) -> StartTls:
    if "starttls" not in options:
        return "required" if credentials else "auto"
    if implicit_tls:
        raise _invalid("smtps:// is encrypted from the start; leave starttls away")
    for choice in get_args(StartTls):
        if options["starttls"] == [choice]:
            found: StartTls = choice
            return found
    raise _invalid("starttls must be required, auto or never")


def _context(options: dict[str, list[str]]) -> ssl.SSLContext:
    file = options.get("cafile", [None])[-1]
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise _invalid(f"cafile {file} cannot be read as certificates ({error.strerror or error})") from None


def _invalid(what: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"COINS_SMTP_URL: {what}. It is smtp://user:password@host:587 or smtps://user:password@host:465."
    )
