"""Sending: to real mail servers, willing and unwilling, and into files."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.workers.mail.servers import (
    PASSWORD,
    USER,
    Certificates,
    Postmaster,
    hang_up,
    made_certificates,
    only_with_password,
    serving,
)
from workers.errors import SettingsInvalid
from workers.mail.errors import MailDelayed, MailError, MailRefused, MailUnsendable, ServerAway
from workers.mail.message import Attachment, Mail
from workers.mail.server import server_of
from workers.mail.transport import FileTransport, SmtpTransport, transport_for

LOGIN = f"{USER}:{quote(PASSWORD, safe='')}@"
# aiosmtpd warns of what a test asks it for: passwords without encryption.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:aiosmtpd")


def mail(number: int = 1, recipient: str = "li.na@acme.example") -> Mail:
    return Mail(
        message_id=f"<{number}@acme.example>",
        sender="Acme <coins@acme.example>",
        recipient=recipient,
        subject=f"Quittung {number} für 李娜",
        body="Grüße\n.\nyours\n",
        created_at=datetime(2026, 11, 22, 8, tzinfo=UTC),
        attachment=Attachment("receipt.pdf", bytes(range(256))),
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def open_transport() -> Iterator[Callable[..., SmtpTransport]]:
    opened: list[SmtpTransport] = []

    def opens(url: str, **options: Any) -> SmtpTransport:
        opened.append(SmtpTransport(server_of(url), **options))
        return opened[-1]

    yield opens
    for one in opened:
        one.close()


Opens = Callable[..., SmtpTransport]


def test_several_mails_go_over_one_connection(open_transport: Opens) -> None:
    postmaster = Postmaster()
    with serving(postmaster) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}")
        for number in range(3):
            transport.send(mail(number))
        transport.close()
    assert len(postmaster.connections) == 1
    assert [one.recipients for one in postmaster.received] == [["li.na@acme.example"]] * 3
    assert postmaster.received[0].sender == "coins@acme.example"
    message = message_from_bytes(postmaster.received[2].content, policy=SMTP)
    assert message["Subject"] == "Quittung 2 für 李娜"


def test_a_connection_that_the_server_closed_between_two_mails_is_made_again(open_transport: Opens) -> None:
    postmaster = Postmaster()
    with serving(postmaster) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}")
        transport.send(mail(1))
        closed = threading.Event()

        def close() -> None:
            hang_up(postmaster.connections[0])
            server.loop.call_soon(closed.set)

        server.loop.call_soon_threadsafe(close)
        assert closed.wait(5)
        transport.send(mail(2))
        transport.close()
    assert len(postmaster.received) == 2
    assert len(postmaster.connections) == 2


@pytest.mark.parametrize(
    ("postmaster", "kind", "said"),
    [
        (
            Postmaster(to_recipient="550 5.1.1 no such user"),
            MailRefused,
            "refused the recipient: 550 5.1.1 no such",
        ),
        (
            Postmaster(to_recipient="450 4.2.1 greylisted"),
            MailDelayed,
            "does not take now the recipient: 450",
        ),
        (Postmaster(to_sender="553 5.1.8 not allowed"), MailRefused, "refused the sender: 553"),
        (Postmaster(to_sender="451 later"), MailDelayed, "does not take now the sender: 451"),
        (Postmaster(to_sender="530 5.7.0 log in first"), ServerAway, "does not take now the sender: 530"),
        (Postmaster(to_content="554 5.7.1 spam"), MailRefused, "refused the mail: 554 5.7.1 spam"),
        (Postmaster(to_content="452 no space"), MailDelayed, "does not take now the mail: 452"),
        (Postmaster(to_content="421 closing"), ServerAway, "does not take now the mail: 421"),
        (Postmaster(breaks_off=True), ServerAway, "closed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_final_is_told_from_what_passes(
    open_transport: Opens, postmaster: Postmaster, kind: type[MailError], said: str
) -> None:
    with serving(postmaster) as server:
        transport = open_transport(f"smtp://127.0.0.1:{server.port}")
        with pytest.raises(MailError, match=said) as told:
            transport.send(mail(1))
        assert type(told.value) is kind
        assert not postmaster.received
        postmaster.to_sender = postmaster.to_recipient = postmaster.to_content = "250 OK"
        postmaster.breaks_off = False
        transport.send(mail(2))
        transport.close()
    assert len(postmaster.received) == 1


def test_an_address_that_is_none_is_refused_before_the_server_is_asked(open_transport: Opens) -> None:
    with pytest.raises(MailUnsendable):
        open_transport("smtp://127.0.0.1:1").send(mail(recipient="li.na@acme.example\nBcc: x@y.example"))


def test_a_server_that_is_away_delays(open_transport: Opens) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(MailDelayed, match=f"127.0.0.1:{port}: cannot be reached: Connection refused"):
        open_transport(f"smtp://127.0.0.1:{port}").send(mail())


def test_a_server_that_says_nothing_delays(open_transport: Opens) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = open_transport(f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(MailDelayed, match=r"timed out|no answer within 0\.2 s"):
            transport.send(mail())


def test_a_password_goes_over_starttls_alone(open_transport: Opens, certificates: Certificates) -> None:
    postmaster = Postmaster()
    with serving(
        postmaster, tls_context=certificates.context, authenticator=only_with_password, auth_required=True
    ) as server:
        transport = open_transport(f"smtp://{LOGIN}localhost:{server.port}?cafile={certificates.authority}")
        transport.send(mail(1))
        transport.send(mail(2))
        transport.close()
    assert [(one.encrypted, one.logged_in) for one in postmaster.received] == [(True, True)] * 2


def test_starttls_is_used_where_it_is_offered(open_transport: Opens, certificates: Certificates) -> None:
    postmaster = Postmaster()
    with serving(postmaster, tls_context=certificates.context) as server:
        url = f"smtp://localhost:{server.port}?cafile={certificates.authority}"
        open_transport(url).send(mail(1))
        open_transport(f"{url}&starttls=never").send(mail(2))
    assert [one.encrypted for one in postmaster.received] == [True, False]


def test_without_starttls_no_password_is_sent(open_transport: Opens) -> None:
    postmaster = Postmaster()
    with serving(
        postmaster, authenticator=only_with_password, auth_required=True, auth_require_tls=False
    ) as server:
        with pytest.raises(MailDelayed, match="offers no encryption"):
            open_transport(f"smtp://{LOGIN}127.0.0.1:{server.port}").send(mail(1))
        with pytest.raises(MailDelayed, match="offers no encryption"):
            open_transport(f"smtp://127.0.0.1:{server.port}?starttls=required").send(mail(1))
        assert not postmaster.received
        open_transport(f"smtp://{LOGIN}127.0.0.1:{server.port}?starttls=never").send(mail(2))
    assert [one.logged_in for one in postmaster.received] == [True]


def test_implicit_tls(open_transport: Opens, certificates: Certificates) -> None:
    postmaster = Postmaster()
    with serving(postmaster, ssl_context=certificates.context) as server:
        open_transport(f"smtps://localhost:{server.port}?cafile={certificates.authority}").send(mail())
    assert [one.encrypted for one in postmaster.received] == [True]


def test_a_certificate_of_an_unknown_authority_or_another_name_is_not_trusted(
    open_transport: Opens, certificates: Certificates
) -> None:
    postmaster = Postmaster()
    with serving(postmaster, tls_context=certificates.context) as server:
        with pytest.raises(MailDelayed, match=r"certificate is not valid: .*cafile"):
            open_transport(f"smtp://localhost:{server.port}").send(mail())
        with pytest.raises(MailDelayed, match="not valid: IP address mismatch"):
            open_transport(f"smtp://127.0.0.1:{server.port}?cafile={certificates.authority}").send(mail())
    assert not postmaster.received


def test_a_wrong_password_delays_and_is_not_told(open_transport: Opens, certificates: Certificates) -> None:
    postmaster = Postmaster()
    with serving(
        postmaster, tls_context=certificates.context, authenticator=only_with_password, auth_required=True
    ) as server:
        url = f"smtp://{USER}:wrong-secret@localhost:{server.port}?cafile={certificates.authority}"
        with pytest.raises(MailDelayed, match="does not accept user and password \\(535\\)") as told:
            open_transport(url).send(mail())
    assert "wrong-secret" not in repr(told.value)
    assert not postmaster.received


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.acme.example",
        "http://u:s3cret@mail.acme.example",
        "smtp://",
        "smtp://u:s3cret@",
        "smtp://u:s3cret@mail.acme.example:port",
        "smtp://u:s3cret@mail.acme.example/inbox",
        "smtp://u:s3#cret@mail.acme.example",
        "smtp://u:12?s3cret@mail.acme.example",
        "smtp://u@mail.acme.example",
        "smtp://:s3cret@mail.acme.example",
        "smtp://u:s3cret%C3%BC@mail.acme.example",
        "smtp://u:s3cret%0A@mail.acme.example",
        "smtp://u:s3cret@mail.acme.example?starttls=maybe",
        "smtp://u:s3cret@mail.acme.example?tls=1",
        "smtps://u:s3cret@mail.acme.example?starttls=required",
        "smtp://u:s3cret@mail.acme.example?cafile=/nowhere/ca.pem",
        f"smtp://u:s3cret@{'a' * 64}.example",
    ],
)
def test_a_bad_url_is_told_by_the_setting_without_its_secrets(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"^COINS_SMTP_URL: ") as told:
        transport_for(url, tmp_path)
    assert "cret" not in str(told.value)


def test_a_url_says_how_the_server_is_reached() -> None:
    plain, login = server_of("smtp://mail.acme.example"), server_of("smtp://u:a%40%3A@mail.acme.example:2525")
    assert (plain.port, plain.starttls, plain.user) == (587, "auto", None)
    assert (login.port, login.starttls, login.user, login.password) == (2525, "required", "u", "a@:")
    assert server_of("smtps://u:p@mail.acme.example").port == 465
    assert "a@:" not in repr(login)


def test_without_a_server_a_mail_is_a_file(tmp_path: Path) -> None:
    transport = transport_for(None, tmp_path / "mails")
    assert isinstance(transport, FileTransport)
    transport.send(mail(1))
    (file,) = (tmp_path / "mails").iterdir()
    assert file.name == "1@acme.example.eml"
    first = file.read_bytes()
    assert message_from_bytes(first, policy=SMTP)["To"] == "li.na@acme.example"
    transport.send(mail(1))
    assert list((tmp_path / "mails").iterdir()) == [file]
    assert file.read_bytes() == first


def test_no_message_id_leads_out_of_the_directory_or_to_anothers_file(tmp_path: Path) -> None:
    transport = FileTransport(tmp_path / "mails")
    ids = ("<../../a@b>", "<..a@b>", "<a/a@b>", "<a:a@b>", f"<{'x' * 300}@b>", f"<{'x' * 301}@b>")
    for message_id in ids:
        transport.send(replace(mail(), message_id=message_id))
    files = list((tmp_path / "mails").iterdir())
    assert len(files) == len(ids)
    assert all(file.suffix == ".eml" and not file.name.startswith(".") for file in files)
    assert [one.name for one in tmp_path.iterdir()] == ["mails"]


def test_a_directory_that_cannot_be_written_delays_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mails").write_text("a file", encoding="utf-8")
    with pytest.raises(MailDelayed, match="cannot be written"):
        FileTransport(tmp_path / "mails").send(mail())
    in_the_way = tmp_path / "other" / "1@acme.example.eml"
    in_the_way.mkdir(parents=True)
    with pytest.raises(MailDelayed, match="is no file"):
        FileTransport(tmp_path / "other").send(mail())
    assert list((tmp_path / "other").iterdir()) == [in_the_way]
