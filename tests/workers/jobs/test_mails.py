"""The job that sends mails, to a real server: each until it is taken, under the same Message-ID, or until it is given up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from ledger.queries.receipts import content_of
from ledger.receipts import issue
from tests import builders as a
from tests.conftest import EMBEDDED
from tests.desk import NOW, LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from tests.workers.mail.servers import Postmaster, Received, serving
from workers.errors import SettingsInvalid
from workers.jobs import mails
from workers.jobs.mailing import Draft, queue
from workers.jobs.mails import AWAY_AFTER, send_mails
from workers.jobs.receipts import issue_receipts
from workers.jobs.run import RunLost, RunStopped
from workers.receipts.stored import printed

# On one server: nothing here asks much of it.
pytestmark = pytest.mark.parametrize("database_server", [EMBEDDED], indirect=True, scope="session")

MINUTE = timedelta(minutes=1)
FIN = "fin@acme.example"
# After so many minutes each; then it is given up.
PAUSES = [1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440, 1440]


class Choosy(Postmaster):
    """Does not take mails for those whose address begins with `grey` now, and never for those with `gone`."""

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("grey"):
            return "450 4.2.1 greylisted"
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        return await super().handle_RCPT(server, session, envelope, address, options)


def point_to(clockwork: Clockwork, port: int) -> None:
    url = SecretStr(f"smtp://127.0.0.1:{port}")
    clockwork.settings = clockwork.settings.model_copy(update={"smtp_url": url})


@pytest.fixture
def postmaster(clockwork: Clockwork) -> Iterator[Postmaster]:
    """A server to which mails are sent."""
    made = Choosy()
    with serving(made) as server:
        point_to(clockwork, server.port)
        yield made


@pytest.fixture
def nobody_there(clockwork: Clockwork) -> int:
    """The port of a server that is away."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    point_to(clockwork, port)
    return port


def write(clockwork: Clockwork, *recipients: str, now: datetime = NOW) -> int:
    """A mail to each of them. How many are new."""
    drafts = [Draft(("news",), 1, one, f"News for {one}", "Hello.\n") for one in recipients]
    return queue(clockwork.connection, drafts, now, clockwork.settings)


def states(desk: LedgerDesk) -> dict[str, tuple[str, int]]:
    """Of each mail by its recipient: its state, and how often it was tried."""
    return {one: (state, tries) for one, state, tries in desk.all("SELECT recipient, state, tries FROM mail")}


def parsed(received: Received) -> EmailMessage:
    message = message_from_bytes(received.content, policy=POLICY)
    assert isinstance(message, EmailMessage)
    return message


# Sent


def test_a_mail_is_sent_once_with_its_receipt(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    desk.do(a.enterprise(email=FIN), a.top_up(amount=500))
    clockwork.run(issue_receipts)
    run = clockwork.begin()
    assert send_mails(run) == "1 mails sent"
    (received,) = postmaster.received
    assert (received.sender, received.recipients) == ("coins@localhost", [FIN])
    message = parsed(received)
    id_, message_id, subject, state, tries, sent_at = desk.one(
        "SELECT id, message_id, subject, state, tries, sent_at FROM mail"
    )
    assert (state, tries, sent_at) == ("sent", 1, NOW)
    assert (message["Message-ID"], message["Subject"], message["To"]) == (message_id, subject, FIN)
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "acme-2026-000001.pdf"
    assert attachment.get_content() == printed(content_of(clockwork.connection, "acme-2026-000001"))
    assert [(one.item, one.outcome) for one in clockwork.items(run)] == [(f"{id_} to {FIN}", "done")]

    assert clockwork.run(send_mails).done == 0
    assert len(postmaster.received) == 1


def test_a_mail_is_there_once_however_often_it_is_written(desk: LedgerDesk, clockwork: Clockwork) -> None:
    assert write(clockwork, FIN, "boss@acme.example") == 2
    assert write(clockwork, FIN, FIN.upper(), "li@acme.example") == 1
    assert sorted(states(desk)) == ["boss@acme.example", FIN, "li@acme.example"]
    assert queue(clockwork.connection, [], NOW, clockwork.settings) == 0


def test_many_are_sent_each_once_the_oldest_first(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mails, "AT_ONCE", 3)
    names = [f"p{number}@acme.example" for number in range(8)]
    write(clockwork, *names[4:], now=NOW)
    write(clockwork, *names[:4], now=NOW - MINUTE)
    assert send_mails(clockwork.begin()) == "8 mails sent"
    assert [one.recipients for one in postmaster.received] == [[name] for name in names]


def test_what_is_written_ahead_of_time_is_sent_now(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    write(clockwork, FIN, now=datetime(2090, 1, 1, tzinfo=UTC))
    clockwork.run(send_mails, now=datetime.now(UTC))
    assert states(desk) == {FIN: ("sent", 1)}
    assert parsed(postmaster.received[0])["Date"].datetime == datetime(2090, 1, 1, tzinfo=UTC)


def test_without_a_server_mails_become_files(desk: LedgerDesk, clockwork: Clockwork) -> None:
    write(clockwork, FIN, "boss@acme.example")
    directory = clockwork.settings.mail_dir
    assert directory == clockwork.settings.data_dir / "mail"
    assert send_mails(clockwork.begin()) == f"2 mails written to {directory}"
    files = {file.name: file.read_bytes() for file in directory.iterdir()}
    ids = {id_ for (id_,) in desk.all("SELECT message_id FROM mail WHERE state = 'sent'")}
    assert {message_from_bytes(content)["Message-ID"] for content in files.values()} == ids
    assert files.keys() == {f"{id_.strip('<>')}.eml" for id_ in ids}
    # And sent again after a crash, it is the same file
    desk.all("UPDATE mail SET state = 'waiting', sent_at = NULL")
    clockwork.run(send_mails)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == files


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    write(clockwork, FIN)
    run = clockwork.run(send_mails, dry_run=True)
    assert [one.detail for one in run.items] == [f"News for {FIN}"]
    assert (states(desk), postmaster.received) == ({FIN: ("waiting", 0)}, [])


# Interrupted


def test_sent_again_after_a_crash_it_is_the_same_mail(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    """Whoever was frozen while it sent cannot write it down; the one that took over sends it again."""
    desk.do(a.enterprise(email=FIN), a.top_up())
    clockwork.run(issue_receipts)
    first = clockwork.begin()
    second = clockwork.overtake(first)
    with pytest.raises(RunLost):
        send_mails(first)
    assert states(desk) == {FIN: ("waiting", 0)}
    assert send_mails(second) == "1 mails sent"
    assert states(desk) == {FIN: ("sent", 1)}
    once, again = postmaster.received
    assert once.content == again.content
    assert parsed(again)["Message-ID"] == desk.one("SELECT message_id FROM mail")[0]


def test_told_to_stop_between_two_mails_the_rest_waits(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    write(clockwork, "p1@acme.example", "p2@acme.example", "p3@acme.example")
    with pytest.raises(RunStopped):
        send_mails(clockwork.begin(stopping=lambda: len(postmaster.received) == 2))
    assert sorted(states(desk).values()) == [("sent", 1), ("sent", 1), ("waiting", 0)]
    clockwork.run(send_mails)
    assert len(postmaster.received) == 3


# Delayed, given up


def test_a_server_that_is_away_is_not_asked_for_every_mail(
    desk: LedgerDesk, clockwork: Clockwork, nobody_there: int
) -> None:
    write(clockwork, *(f"p{number}@acme.example" for number in range(5)))
    run = clockwork.begin()
    assert send_mails(run) == "0 mails sent, 3 to be tried again"
    assert sorted(states(desk).values()) == [("waiting", 0)] * 2 + [("waiting", 1)] * AWAY_AFTER
    refused = clockwork.items(run)
    assert {(one.outcome, one.reason) for one in refused} == {("refused", "delayed")}
    assert all("cannot be reached" in (one.detail or "") for one in refused)
    assert all("again at 2026-03-01 12:01 UTC" in (one.detail or "") for one in refused)
    # And once it is back, all of them are sent when their time has come
    postmaster = Postmaster()
    with serving(postmaster) as server:
        point_to(clockwork, server.port)
        clockwork.run(send_mails)
        assert len(postmaster.received) == 2
        clockwork.run(send_mails, now=NOW + MINUTE)
    assert len({one.recipients[0] for one in postmaster.received}) == len(postmaster.received) == 5


def test_one_that_is_not_taken_now_keeps_nobody_else_waiting(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    """Six are put off one after the other, more than would do for a server that is away."""
    names = [f"{kind}{number}@acme.example" for kind in ("grey-a", "grey-b", "p") for number in range(3)]
    for place, name in enumerate(names):
        write(clockwork, name, now=NOW - MINUTE + timedelta(seconds=place))
    assert send_mails(clockwork.begin()) == "3 mails sent, 6 to be tried again"
    assert len(postmaster.received) == 3
    assert {name: state for name, state in states(desk).items() if state == ("sent", 1)}.keys() == {
        "p0@acme.example",
        "p1@acme.example",
        "p2@acme.example",
    }


def test_it_is_tried_for_days_ever_later_and_then_it_is_a_dead_letter(
    desk: LedgerDesk, clockwork: Clockwork, nobody_there: int
) -> None:
    desk.do(a.enterprise(email=FIN), a.top_up())
    clockwork.run(issue_receipts)
    for tries, minutes in enumerate(PAUSES, 1):
        clockwork.run(send_mails)
        next_try_at = desk.now + minutes * MINUTE
        assert desk.one("SELECT state, tries, next_try_at FROM mail") == ("waiting", tries, next_try_at)
        # Not before its time
        clockwork.run(send_mails, now=next_try_at - timedelta(seconds=1))
        assert states(desk) == {FIN: ("waiting", tries)}
        desk.now = next_try_at
    assert desk.letters() == []
    run = clockwork.run(send_mails, as_row=True)
    assert states(desk) == {FIN: ("given up", len(PAUSES) + 1)}
    assert [(one.outcome, one.reason) for one in clockwork.items(run)] == [("failed", "given up")]
    demand_the_letter_is_the_mail(desk, "cannot be reached")
    # And that was the last of it
    clockwork.run(send_mails, now=desk.now + timedelta(days=30))
    assert states(desk) == {FIN: ("given up", len(PAUSES) + 1)}
    assert len(desk.letters()) == 1


def demand_the_letter_is_the_mail(desk: LedgerDesk, why: str) -> None:
    """With the receipt, for somebody who sends it by hand."""
    (letter,) = desk.letters()
    id_, message_id = desk.one("SELECT id, message_id FROM mail WHERE state = 'given up'")
    assert (letter["reason"], letter["state"], letter["stream"]) == ("gave up", "waiting", "mail")
    assert letter["position"] == str(id_)
    assert why in letter["why"]
    message = message_from_bytes(bytes(letter["raw"]), policy=POLICY)
    assert isinstance(message, EmailMessage)
    assert message["Message-ID"] == message_id
    assert [one.get_content_type() for one in message.iter_attachments()] == ["application/pdf"]


def test_what_a_server_refuses_for_good_is_given_up_at_once_and_alone(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    gone = "gone@acme.example"
    desk.do(a.enterprise(email=gone), a.top_up())
    clockwork.run(issue_receipts)
    write(clockwork, FIN)
    assert send_mails(clockwork.begin()) == "1 mails sent"
    assert states(desk) == {gone: ("given up", 1), FIN: ("sent", 1)}
    demand_the_letter_is_the_mail(desk, "550 5.1.1 no such user")


def test_what_is_no_address_is_given_up_with_what_it_would_have_said(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    write(clockwork, "li na@acme")
    clockwork.run(send_mails)
    (letter,) = desk.letters()
    assert bytes(letter["raw"]) == b"To: li na@acme\nSubject: News for li na@acme\n\nHello.\n"
    assert states(desk) == {"li na@acme": ("given up", 1)}


def test_a_mail_that_cannot_be_made_is_put_off_and_the_others_are_sent(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster
) -> None:
    """Its receipt cannot be printed by this version of ours; another may do it before it is given up."""
    desk.do(a.enterprise(email="first@acme.example"), a.top_up())
    ((due,),) = desk.all("SELECT transaction FROM receipt_due")
    with desk.connection.transaction():
        issue(desk.connection, [due], NOW)
    spoil_the_receipt(desk)
    queue(
        clockwork.connection,
        [Draft(("receipt",), 1, "first@acme.example", "Receipt", "", "acme-2026-000001")],
        NOW - MINUTE,
        clockwork.settings,
    )
    write(clockwork, FIN)
    assert send_mails(clockwork.begin()) == "1 mails sent, 1 to be tried again"
    assert states(desk) == {"first@acme.example": ("waiting", 1), FIN: ("sent", 1)}
    assert "cannot be made: KeyError" in desk.one("SELECT error FROM mail WHERE state = 'waiting'")[0]


def spoil_the_receipt(desk: LedgerDesk) -> None:
    """What only somebody can do who is above the triggers."""
    with desk.connection.transaction():
        desk.connection.execute("SET LOCAL session_replication_role = replica")
        desk.connection.execute("UPDATE receipt SET content = '{}'")


# Settings that cannot be used


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mail_from": "nobody at all"}, "COINS_MAIL_FROM"),
        ({"smtp_url": SecretStr("http://mail.example")}, "COINS_SMTP_URL"),
    ],
)
def test_with_a_setting_that_is_wrong_the_run_fails_and_every_mail_waits(
    desk: LedgerDesk, clockwork: Clockwork, postmaster: Postmaster, wrong: dict[str, Any], said: str
) -> None:
    write(clockwork, FIN, "boss@acme.example")
    good = clockwork.settings
    clockwork.settings = good.model_copy(update=wrong)
    with pytest.raises(SettingsInvalid, match=said):
        clockwork.run(send_mails)
    assert set(states(desk).values()) == {("waiting", 0)}
    clockwork.settings = good
    clockwork.run(send_mails)
    assert set(states(desk).values()) == {("sent", 1)}
    assert len(postmaster.received) == 2
