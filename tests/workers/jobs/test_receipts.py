"""The job that makes receipts, and writes the mails that carry them: each once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.verify import verify
from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork, Mailed
from workers.errors import SettingsInvalid
from workers.jobs import receipts
from workers.jobs.receipts import issue_receipts
from workers.jobs.run import RunLost, RunStopped

FIN, BOSS = "fin@acme.example", "boss@acme.example"
STUMBLE = (
    """
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'not this one' USING ERRCODE = '22000'; END $$""",
    """CREATE TRIGGER stumble BEFORE DELETE ON receipt_due
FOR EACH ROW WHEN (OLD.order_id = 'bad') EXECUTE FUNCTION stumble()""",
)


@pytest.fixture
def acme(desk: LedgerDesk) -> LedgerDesk:
    """`acme` has ten recharges without a receipt."""
    desk.do(a.enterprise(name="Acme Ltd", email=FIN, boss_email=BOSS))
    desk.send(*(a.top_up("acme", 100 + n) for n in range(10)))
    return desk


def series(desk: LedgerDesk) -> list[int]:
    return [seq for (seq,) in desk.all("SELECT seq FROM receipt ORDER BY transaction")]


def due(desk: LedgerDesk) -> int:
    count: int = desk.one("SELECT count(*) FROM receipt_due")[0]
    return count


def demand_each_has_one(desk: LedgerDesk, count: int = 10) -> None:
    """So many receipts in a row, each with its event's number and two mails, none to come."""
    assert series(desk) == list(range(1, count + 1))
    assert due(desk) == 0
    mailed = desk.all("SELECT receipt, recipient FROM mail ORDER BY receipt, recipient")
    assert mailed == [(f"acme-2026-{n:06}", whom) for n in range(1, count + 1) for whom in (BOSS, FIN)]
    assert verify(desk.connection).differences == []


def test_everything_that_is_due_gets_its_receipt_and_its_mails(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    run = clockwork.begin()
    assert issue_receipts(run) == "10 receipts issued"
    assert [one.item for one in clockwork.items(run)] == [f"acme-2026-{n:06}" for n in range(1, 11)]
    assert {(one.outcome, one.detail) for one in clockwork.items(run)} == {("done", f"{FIN}, {BOSS}")}
    assert [one.data.receipt for one in clockwork.events()] == [f"acme-2026-{n:06}" for n in range(1, 11)]
    assert clockwork.asked_for() == {"mails"}
    demand_each_has_one(acme)


def test_a_mail_says_what_the_receipt_is_for(acme: LedgerDesk, clockwork: Clockwork) -> None:
    clockwork.run(issue_receipts)
    clockwork.mails()
    acme.do(a.order("o1", payer="li.na@pay.example", product="Proxy EU", price=1_234, method="card"))
    clockwork.settings = clockwork.settings.model_copy(update={"scale": 2})
    clockwork.run(issue_receipts)
    boss, payer = clockwork.mails()
    assert (boss.recipient, payer.recipient) == (BOSS, "li.na@pay.example")
    assert boss[1:] == payer[1:]
    assert "acme-2026-000011" in payer.subject
    for said in ("acme-2026-000011", "Acme Ltd", "Proxy EU", "12.34"):
        assert said in payer.body


def test_where_there_is_nobody_to_mail_it_to_the_receipt_is_there_all_the_same(
    desk: LedgerDesk, clockwork: Clockwork
) -> None:
    desk.do(a.enterprise(), a.top_up())
    run = clockwork.run(issue_receipts, as_row=True)
    assert [one.detail for one in clockwork.items(run)] == ["nobody to mail it to"]
    assert (series(desk), clockwork.mails()) == ([1], [])


def test_done_again_it_finds_nothing_to_do(acme: LedgerDesk, clockwork: Clockwork) -> None:
    clockwork.run(issue_receipts)
    before = acme.all("SELECT xmin::text, * FROM receipt ORDER BY number")
    acme.all("DELETE FROM job_run")
    clockwork.events()
    assert issue_receipts(clockwork.begin()) == "0 receipts issued"
    assert acme.all("SELECT xmin::text, * FROM receipt ORDER BY number") == before
    assert (clockwork.events(), clockwork.asked_for()) == ([], set())
    demand_each_has_one(acme)


def test_a_dry_run_says_what_would_be_issued_and_issues_nothing(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    run = clockwork.run(issue_receipts, dry_run=True)
    assert [one.item for one in run.items] == [f"acme-2026-{n:06}" for n in range(1, 11)]
    assert (series(acme), due(acme), clockwork.mails(), clockwork.events()) == ([], 10, [], [])
    assert (acme.all("SELECT FROM receipt_series"), clockwork.asked_for()) == ([], set())


def test_told_to_stop_between_two_portions_it_goes_on_without_a_gap(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "AT_ONCE", 4)
    asked = iter([False, False])
    with pytest.raises(RunStopped):
        issue_receipts(clockwork.begin(stopping=lambda: next(asked, True)))
    assert (series(acme), due(acme)) == ([1, 2, 3, 4, 5, 6, 7, 8], 2)
    clockwork.reconnect()
    acme.all("DELETE FROM job_run")
    assert issue_receipts(clockwork.begin()) == "2 receipts issued"
    demand_each_has_one(acme)


def test_a_run_that_was_overtaken_issues_nothing_more(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other goes on where it was, and what the first would have numbered next has that one's numbers."""
    monkeypatch.setattr(receipts, "AT_ONCE", 4)
    others: list[str] = []

    def frozen_after_the_first_portion() -> bool:
        if series(acme) and not others:
            others.append(issue_receipts(clockwork.overtake(run)))
            acme.do(a.top_up("acme", 1))
        return False

    run = clockwork.begin(stopping=frozen_after_the_first_portion)
    with pytest.raises(RunLost):
        issue_receipts(run)
    assert others == ["6 receipts issued"]
    assert (series(acme), due(acme)) == (list(range(1, 11)), 1)
    clockwork.run(issue_receipts)
    demand_each_has_one(acme, 11)


def test_one_that_cannot_be_issued_waits_alone(own_stumbling: tuple[LedgerDesk, Clockwork]) -> None:
    desk, clockwork = own_stumbling
    bad = desk.one("SELECT transaction FROM receipt_due WHERE order_id = 'bad'")[0]
    run = clockwork.run(issue_receipts, as_row=True)
    assert [(one.item, one.outcome, one.reason) for one in clockwork.items(run)] == [
        ("acme-2026-000001", "done", None),
        ("acme-2026-000002", "done", None),
        ("acme-2026-000003", "done", None),
        (f"transaction {bad}", "failed", "DataException"),
    ]
    assert (series(desk), due(desk)) == ([1, 2, 3], 1)
    desk.all("DROP TRIGGER stumble ON receipt_due")
    clockwork.run(issue_receipts)
    assert (series(desk), due(desk)) == ([1, 2, 4, 3], 0)
    assert verify(desk.connection).differences == []


@pytest.fixture
def own_stumbling(
    own_desk: LedgerDesk, own_database_url: str, tmp_path: Path
) -> Iterator[tuple[LedgerDesk, Clockwork]]:
    """Four receipts are due, and the database refuses that of the order `bad`, the third."""
    own_desk.do(a.enterprise(), a.top_up(), a.order("good"), a.order("bad"), a.order("better"))
    for statement in STUMBLE:
        own_desk.all(statement)
    clockwork = Clockwork(own_desk, own_database_url, tmp_path)
    yield own_desk, clockwork
    clockwork.close()


def test_a_sender_that_is_none_fails_the_run_and_nothing_is_lost(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    good = clockwork.settings
    clockwork.settings = good.model_copy(update={"mail_from": "nobody at all"})
    with pytest.raises(SettingsInvalid, match="COINS_MAIL_FROM"):
        clockwork.run(issue_receipts)
    assert (series(acme), due(acme), clockwork.mails()) == ([], 10, [])
    clockwork.settings = good
    clockwork.run(issue_receipts)
    demand_each_has_one(acme)


def test_a_receipt_is_mailed_to_the_same_address_once(desk: LedgerDesk, clockwork: Clockwork) -> None:
    desk.do(a.enterprise(email=FIN, boss_email=FIN.upper()), a.top_up())
    clockwork.run(issue_receipts)
    assert [one.recipient for one in clockwork.mails()] == [FIN]


def test_a_mail_of_a_job_whose_clock_is_ahead_is_sent_now(acme: LedgerDesk, clockwork: Clockwork) -> None:
    clockwork.run(issue_receipts, now=acme.now.replace(year=2090))
    assert acme.one("SELECT bool_and(next_try_at <= clock_timestamp()) FROM mail") == (True,)
    assert isinstance(clockwork.mails()[0], Mailed)
