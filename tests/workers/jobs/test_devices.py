"""Device notices: each device is told of once before it expires and once when it has, whatever happens in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests import builders as a
from tests.desk import NOW, LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs import devices
from workers.jobs.devices import tell
from workers.jobs.run import Run, RunStopped

A_MONTH = NOW.replace(month=4)
WEEK, MINUTE = timedelta(days=7), timedelta(minutes=1)


@pytest.fixture
def acme(desk: LedgerDesk, clockwork: Clockwork) -> LedgerDesk:
    """`d1` is paid for until 1 April, noon; the job has run before."""
    desk.do(a.enterprise(), a.branch(), a.top_up(), a.transfer(), a.plan(price=1, cycle=a.MONTHLY))
    clockwork.run(tell)
    desk.do(a.onboarding("north", "d1", plan="tracker"))
    return desk


def told(clockwork: Clockwork, now: datetime) -> list[tuple[str, str]]:
    """Of each event: which, and of which device."""
    clockwork.run(tell, now=now)
    return [
        (one.type.removeprefix("coins.Device").removesuffix(".v1"), one.data.device)
        for one in clockwork.events()
    ]


def expiring_at(desk: LedgerDesk, moment: datetime, *names: str) -> None:
    """Devices of acme's that are paid for until then."""
    desk.do(a.onboarding("acme", *names))
    desk.all("UPDATE device SET paid_until = %s WHERE device = ANY(%s)", moment, list(names))


def test_a_device_is_told_of_before_it_expires_and_when_it_has(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    assert told(clockwork, A_MONTH - WEEK) == []
    clockwork.run(tell, now=A_MONTH - WEEK + MINUTE)
    (event,) = clockwork.events()
    assert event.type == "coins.DeviceExpiring.v1"
    assert event.data.model_dump(mode="json") == {
        "account": "north",
        "top_account": "acme",
        "device": "d1",
        "paid_until": "2026-04-01T12:00:00Z",
    }
    assert told(clockwork, A_MONTH - MINUTE) == []
    assert told(clockwork, A_MONTH) == [("Expired", "d1")]
    assert told(clockwork, A_MONTH + WEEK) == []


def test_a_device_that_is_paid_for_again_is_told_of_again(acme: LedgerDesk, clockwork: Clockwork) -> None:
    assert told(clockwork, A_MONTH - timedelta(days=3)) == [("Expiring", "d1")]
    acme.now = A_MONTH - timedelta(days=2)
    acme.do(a.renewal("north", "d1"))
    assert told(clockwork, A_MONTH + MINUTE) == []
    assert told(clockwork, A_MONTH.replace(month=5) - timedelta(days=6)) == [("Expiring", "d1")]
    assert told(clockwork, A_MONTH.replace(month=5)) == [("Expired", "d1")]


def test_after_a_pause_what_is_still_true_is_made_up_for(acme: LedgerDesk, clockwork: Clockwork) -> None:
    expiring_at(acme, A_MONTH + timedelta(days=2), "d2")
    assert told(clockwork, A_MONTH + timedelta(days=1)) == [("Expired", "d1"), ("Expiring", "d2")]
    assert told(clockwork, A_MONTH + timedelta(days=3)) == [("Expired", "d2")]


def test_released_devices_and_those_without_an_end_are_left_out(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    acme.do(a.onboarding("acme", "d2"), a.release("north", "d1"))
    assert told(clockwork, A_MONTH + WEEK) == []


def test_the_first_time_all_that_have_expired_are_told_of(desk: LedgerDesk, clockwork: Clockwork) -> None:
    desk.do(a.enterprise(), a.top_up())
    expiring_at(desk, NOW - timedelta(days=400), "d1")
    expiring_at(desk, NOW + timedelta(days=2), "d2")
    assert told(clockwork, NOW) == [("Expired", "d1"), ("Expiring", "d2")]
    assert told(clockwork, NOW) == []


def test_a_crowd_at_one_moment_is_told_of_in_portions(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a run that is stopped after each portion: the next one goes on within the moment."""
    monkeypatch.setattr(devices, "AT_ONCE", 3)
    monkeypatch.setattr(devices, "LOOKED_AT_ONCE", 5)
    crowd = sorted(["Z-1", "a!b", "~", *(f"d{number}" for number in range(20, 38))])
    expiring_at(acme, A_MONTH, *crowd)
    seen: list[str] = []
    for _ in range(8):
        run = Run("test", A_MONTH, clockwork.settings, clockwork.connection)
        run.stopping = lambda run=run: run.done >= 3  # type: ignore[misc]
        with pytest.raises(RunStopped):
            tell(run)
        events = clockwork.events()
        assert {one.type for one in events} <= {"coins.DeviceExpired.v1", "coins.DeviceExpiring.v1"}
        seen += [one.data.device for one in events if one.type == "coins.DeviceExpired.v1"]
        if len(seen) > len(crowd) - 3:
            break
    seen += [device for kind, device in told(clockwork, A_MONTH) if kind == "Expired"]
    assert sorted(seen) == sorted([*crowd, "d1"])
    assert told(clockwork, A_MONTH) == []


def test_a_device_that_is_renewed_while_others_are_told_of_is_not(
    acme: LedgerDesk, clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "AT_ONCE", 1)
    expiring_at(acme, A_MONTH, "d2", "d3")
    run = Run("test", A_MONTH, clockwork.settings, clockwork.connection)

    def renewed_meanwhile() -> bool:
        if run.done == 1:
            acme.now = A_MONTH
            acme.do(a.renewal("acme", "d2"))
        return False

    run.stopping = renewed_meanwhile
    tell(run)
    assert [one.data.device for one in clockwork.events()] == ["d1", "d3"]


def test_a_dry_run_counts_and_tells_nothing(acme: LedgerDesk, clockwork: Clockwork) -> None:
    run = clockwork.run(tell, now=A_MONTH, dry_run=True)
    assert (run.done, clockwork.events()) == (1, [])
    assert told(clockwork, A_MONTH) == [("Expired", "d1")]


def test_a_clock_that_is_ahead_keeps_nothing_from_being_told_when_it_comes(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    # Given everything told by a clock that is a hundred days ahead
    present = datetime.now(UTC)
    clockwork.run(tell, now=present)
    expiring_at(acme, present + timedelta(days=50), "d2")
    clockwork.events()
    assert told(clockwork, present + timedelta(days=100)) == [("Expired", "d2")]
    assert told(clockwork, present + timedelta(days=101)) == [], "told twice ahead of time it is told once"
    # Then what comes sooner than that is told when it comes
    expiring_at(acme, present + WEEK - timedelta(seconds=30), "d3")
    soon = present + timedelta(seconds=40)
    assert told(clockwork, soon) == [("Expiring", "d3")]
    assert told(clockwork, soon) == []


def test_a_clock_that_was_set_back_tells_nothing_twice(acme: LedgerDesk, clockwork: Clockwork) -> None:
    assert told(clockwork, A_MONTH) == [("Expired", "d1")]
    assert told(clockwork, A_MONTH - timedelta(days=1)) == []
    assert told(clockwork, A_MONTH) == []
