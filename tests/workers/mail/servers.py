"""Real mail servers for the tests: in this process, on a free port of localhost, each as unwilling as a test wants."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "coins", "s3cr:t/p@ss?&"


class Certificates(NamedTuple):
    """A certificate for localhost, and the authority that signed it."""

    authority: Path
    context: ssl.SSLContext


class Received(NamedTuple):
    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    logged_in: bool


@dataclass
class Postmaster:
    """Takes mails, or answers with what the test says. `breaks_off`: hangs up instead of answering to the content."""

    to_sender: str = "250 OK"
    to_recipient: str = "250 OK"
    to_content: str = "250 OK"
    breaks_off: bool = False
    received: list[Received] = field(default_factory=list)
    connections: list[SMTP] = field(default_factory=list)

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, _: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if server not in self.connections:
            self.connections.append(server)
        return responses

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.to_sender

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.breaks_off:
            hang_up(server)
        elif self.to_content.startswith("250"):
            content = envelope.content if isinstance(envelope.content, bytes) else b""
            encrypted = session.ssl is not None or isinstance(_transport(server), ssl.SSLObject)
            self.received.append(
                Received(
                    envelope.mail_from or "",
                    list(envelope.rcpt_tos),
                    content,
                    encrypted,
                    bool(session.authenticated),
                )
            )
        return self.to_content


def _transport(server: SMTP) -> Any:
    return server.transport.get_extra_info("ssl_object") if server.transport else None


def hang_up(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()


@contextmanager
def serving(postmaster: Postmaster, **options: Any) -> Iterator[Controller]:
    """A server that runs meanwhile; its port is `.port`. The options are those of aiosmtpd."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(postmaster, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield controller
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up_all(postmaster), controller.loop).result(5)
        controller.stop()


async def _hang_up_all(postmaster: Postmaster) -> None:
    """Else what aiosmtpd leaves open is warned of in some later test."""
    for connection in postmaster.connections:
        hang_up(connection)
    await asyncio.sleep(0.01)


def only_with_password(
    _server: SMTP, _session: Session, _envelope: Envelope, _: str, given: Any
) -> AuthResult:
    right = isinstance(given, LoginPassword) and given == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


def made_certificates(directory: Path) -> Certificates:
    """By openssl, for a day."""
    authority, key, request, signed = (
        directory / name for name in ("ca.pem", "key.pem", "request.pem", "crt.pem")
    )
    authority_key, extensions = directory / "ca-key.pem", directory / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    by_authority = ("-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-extfile", extensions)
    commands: tuple[tuple[str | Path, ...], ...] = (
        (
            "req",
            "-x509",
            *curve,
            "-keyout",
            authority_key,
            "-out",
            authority,
            "-days",
            "1",
            "-subj",
            "/CN=CA",
        ),
        ("req", "-new", *curve, "-keyout", key, "-out", request, "-subj", "/CN=localhost"),
        ("x509", "-req", "-in", request, *by_authority, "-out", signed, "-days", "1"),
    )
    for command in commands:
        subprocess.run(("openssl", *map(str, command)), check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed, key)
    return Certificates(authority, context)
