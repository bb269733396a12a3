"""The threshold scan: who is told of what, once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from tests.workers.jobs.owing import next_try, owe, spend
from workers.jobs import warnings
from workers.jobs.warnings import scan

full_scan = partial(scan, full=True)


@pytest.fixture
def acme(desk: LedgerDesk, clockwork: Clockwork) -> LedgerDesk:
    """`acme` has 100 coins, and the first scan, which looks at all, is over."""
    desk.do(a.enterprise(name="Acme Ltd", email="acme@acme.example", timezone="Asia/Shanghai"), a.top_up())
    clockwork.run(scan)
    return desk


def told(clockwork: Clockwork) -> list[tuple[str, str, str]]:
    """Of each event: which, about whom, which threshold."""
    return [
        (one.type.removeprefix("coins.").removesuffix(".v1"), one.data.account, one.data.threshold)
        for one in clockwork.events()
    ]


def recipients(clockwork: Clockwork) -> list[str]:
    return [one.recipient for one in clockwork.mails()]


def test_a_fall_is_told_once_and_so_is_the_recovery(acme: LedgerDesk, clockwork: Clockwork) -> None:
    spend(acme, "o1", 80)
    clockwork.run(scan)
    (event,) = clockwork.events()
    assert event.type == "coins.BalanceLow.v1"
    assert event.data.model_dump() == {
        "account": "acme",
        "top_account": "acme",
        "threshold": "25 %",
        "available": 20,
        "reference": 100,
    }
    (mail,) = clockwork.mails()
    assert mail.recipient == "acme@acme.example"
    assert mail.subject == "Low balance: Acme Ltd (acme) has 20 coins left"
    assert "25 % of 100" in mail.body
    assert "2026-03-01 20:00 (Asia/Shanghai, UTC+08:00)" in mail.body
    clockwork.run(scan)
    assert (clockwork.events(), clockwork.mails()) == ([], [])
    acme.do(a.top_up())
    clockwork.run(scan)
    (event,) = clockwork.events()
    assert event.type == "coins.BalanceRecovered.v1"
    assert (event.data.threshold, event.data.available, event.data.reference) == ("25 %", 120, 120)
    assert clockwork.mails() == []


def test_a_fall_across_several_is_one_mail_for_the_lowest(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(
        a.warning("w1", amount=50), a.warning("w2", amount=5, emails=["Acme@acme.example", "cfo@x.example"])
    )
    spend(acme, "o1", 100)
    clockwork.run(scan)
    assert told(clockwork) == [
        ("BalanceLow", "acme", threshold) for threshold in ("0", "custom:w2", "10 %", "25 %", "custom:w1")
    ]
    assert [(one.recipient, one.subject) for one in clockwork.mails()] == [
        ("acme@acme.example", "No coins left: Acme Ltd (acme)"),
        ("cfo@x.example", "Low balance: Acme Ltd (acme) has 0 coins left"),
    ]


def test_presets_go_to_the_account_and_its_parent_and_say_whom_to_ask(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(
        a.branch(email="north@acme.example"),
        a.branch("yard", "north", name="Yard"),
        a.transfer("acme", "north", 60),
        a.transfer("north", "yard", 10, ordered_by="acme"),
    )
    clockwork.run(scan)
    assert clockwork.mails() == []
    spend(acme, "o1", 10, "yard")
    clockwork.run(scan)
    (mail,) = clockwork.mails()
    assert mail.recipient == "north@acme.example"
    assert "ask north (north@acme.example)" in " ".join(mail.body.split())
    spend(acme, "o2", 50, "north")
    clockwork.run(scan)
    assert recipients(clockwork) == ["acme@acme.example", "north@acme.example"]


def test_a_custom_warning_goes_to_its_addresses_else_to_whoever_set_it(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(
        a.branch(email="north@acme.example"),
        a.transfer("acme", "north", 50),
        a.warning("w1", "north", "acme", percent=90),
        a.warning("w2", "north", "north", amount=40, emails=["ops@acme.example"]),
    )
    spend(acme, "o1", 20, "north")
    clockwork.run(scan)
    mails = clockwork.mails()
    assert [one.recipient for one in mails] == ["acme@acme.example", "ops@acme.example"]
    assert "90 % of 50" in mails[0].body
    assert "40 coins" in mails[1].body


def test_mails_do_not_go_to_an_account_that_has_switched_them_off(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(
        a.branch(email="north@acme.example"),
        a.transfer("acme", "north", 50),
        a.warning("w1", "north", "north", amount=45, emails=["north@acme.example"]),
        a.warning("w2", "north", "acme", amount=44),
        a.notifications("north"),
    )
    spend(acme, "o1", 10, "north")
    clockwork.run(scan)
    # Whoever sets a warning with addresses means these.
    assert recipients(clockwork) == ["acme@acme.example", "north@acme.example"]
    acme.do(a.notifications("acme"))
    spend(acme, "o2", 40, "north")
    clockwork.run(scan)
    assert clockwork.mails() == []
    assert len(told(clockwork)) == 5


def test_a_warning_that_is_set_below_what_there_is_fires_with_the_next_scan(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.warning(amount=101))
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "custom:w1")]
    acme.later(seconds=1)
    acme.do(a.warning(amount=10))
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceRecovered", "acme", "custom:w1")]
    acme.later(seconds=1)
    acme.do(a.warning(amount=101))
    clockwork.run(scan)
    acme.do(a.remove_warning())
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "custom:w1")]
    assert acme.all("SELECT * FROM warned") == []


def test_a_reclaim_re_bases_without_a_word(desk: LedgerDesk, clockwork: Clockwork) -> None:
    desk.do(a.reseller(), a.sponsored_customer(), a.top_up("shop"), a.grant(amount=100), a.grant(amount=-90))
    clockwork.run(scan)
    assert told(clockwork) == []
    desk.do(a.order("o1", "carl", price=8))
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "carl", "25 %")]
    desk.do(a.grant(amount=-2))
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "carl", "0"), ("BalanceLow", "carl", "10 %")]


def test_a_running_phone_drives_available_down_by_the_clock(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.power_on(rate="1"))
    for minutes, thresholds in ((75, []), (1, ["25 %"]), (15, ["10 %"]), (9, ["0"]), (60, [])):
        acme.later(minutes=minutes)
        clockwork.run(scan)
        assert [threshold for _, _, threshold in told(clockwork)] == thresholds


def test_the_first_scan_looks_at_all_and_then_one_a_day(desk: LedgerDesk, clockwork: Clockwork) -> None:
    desk.do(a.enterprise(), a.top_up())
    spend(desk, "o1", 80)
    desk.all("DELETE FROM touched")
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "25 %")]
    spend(desk, "o2", 20)
    desk.all("DELETE FROM touched")
    desk.later(hours=23)
    clockwork.run(scan)
    assert told(clockwork) == []
    desk.later(hours=1)
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "0"), ("BalanceLow", "acme", "10 %")]


def test_in_between_it_looks_only_at_what_was_touched(acme: LedgerDesk, clockwork: Clockwork) -> None:
    acme.do(a.enterprise("beta"), a.top_up("beta"))
    spend(acme, "o1", 80)
    spend(acme, "o2", 80, "beta")
    beta = acme.account("beta")["id"]
    acme.all("DELETE FROM touched WHERE %s = ANY(accounts)", beta)
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "25 %")]
    assert acme.all("SELECT * FROM touched") == []
    clockwork.run(full_scan)
    assert told(clockwork) == [("BalanceLow", "beta", "25 %")]


def test_what_is_touched_in_many_rows_is_looked_at_portion_by_portion(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "TOUCHED_AT_ONCE", 2)
    monkeypatch.setattr(warnings, "WARNED_AT_ONCE", 2)
    names = [f"b{number}" for number in range(7)]
    acme.do(a.top_up(amount=700))
    for name in names:
        acme.do(a.branch(name), a.transfer("acme", name, 10))
        spend(acme, f"o-{name}", 8, name)
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", name, "25 %") for name in names]
    acme.all("DELETE FROM warned")
    clockwork.run(full_scan)
    assert told(clockwork) == [("BalanceLow", name, "25 %") for name in names]


def test_what_is_not_committed_yet_is_found_the_next_time(
    acme: LedgerDesk, clockwork: Clockwork, database_url: str
) -> None:
    """Given a row with a lower id that is committed after one with a higher."""
    key = acme.account("acme")["id"]
    with psycopg.connect(database_url) as late:
        late.execute("INSERT INTO touched (accounts) VALUES (%s)", ([key],))
        late.execute("UPDATE account SET credit = 5 WHERE id = %s", (key,))
        acme.do(a.enterprise("beta"), a.top_up("beta"))
        clockwork.run(scan)
        assert told(clockwork) == []
        late.commit()
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "10 %"), ("BalanceLow", "acme", "25 %")]


def test_a_scan_that_is_killed_tells_nothing_and_the_next_tells_all(
    acme: LedgerDesk, clockwork: Clockwork, database_url: str
) -> None:
    """Given a scan that has written everything, and waits for an account that somebody else has locked, to try a renewal."""
    owe(acme, price=20)
    spend(acme, "o1", 80)
    with psycopg.connect(database_url) as other, ThreadPoolExecutor() as pool:
        other.execute("SELECT FROM account WHERE account = 'acme' FOR UPDATE")
        scanning = pool.submit(clockwork.run, scan)
        wait_until_blocked(acme, clockwork.connection.info.backend_pid)
        acme.all("SELECT pg_terminate_backend(%s)", clockwork.connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            scanning.result(timeout=30)
    assert (clockwork.events(), clockwork.mails(), acme.all("SELECT * FROM warned")) == ([], [], [])
    clockwork.reconnect()
    clockwork.run(scan)
    assert told(clockwork) == [("BalanceLow", "acme", "25 %")]
    assert recipients(clockwork) == ["acme@acme.example"]
    assert next_try(acme, "s1") == acme.now


def wait_until_blocked(desk: LedgerDesk, pid: int) -> None:
    until = time.monotonic() + 30
    while not desk.all("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", pid):
        assert time.monotonic() < until, "it never waited for the lock"
        time.sleep(0.02)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(acme: LedgerDesk, clockwork: Clockwork) -> None:
    owe(acme)
    spend(acme, "o1", 80)
    acme.do(a.top_up(amount=60))
    before = acme.all("SELECT * FROM touched")
    run = clockwork.run(full_scan, dry_run=True)
    assert [(one.item, one.detail) for one in run.items] == [
        ("subscription s1", "covered by now, tried again")
    ]
    assert acme.all("SELECT * FROM touched") == before
    assert (clockwork.events(), clockwork.mails(), clockwork.asked_for()) == ([], [], set())
    assert next_try(acme, "s1") > acme.now


def test_items_say_of_each_account_what_it_fell_below(acme: LedgerDesk, clockwork: Clockwork) -> None:
    spend(acme, "o1", 95)
    run = clockwork.run(scan, as_row=True)
    (item,) = clockwork.items(run)
    assert (item.item, item.outcome) == ("acme", "done")
    assert item.detail == "below 10 %, 25 %: 5 available, reference 100"
    assert clockwork.asked_for() == {"mails"}
