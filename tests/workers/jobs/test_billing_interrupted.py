"""Billing runs that are stopped, overtaken, doubled, cut off from the edge, or stumble: nothing is lost or charged twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ledger.database import connect_for_jobs
from ledger.verify import verify
from messages.errors import EdgeUnavailable
from messages.reasons import Reason
from messages.streams import SCHEDULER, commands_stream, partition_of
from tests import builders as a
from tests.desk import LedgerDesk
from tests.system.site import until
from tests.workers.jobs.billing_desk import STREAM, BillingDesk, EdgeDesk
from workers.jobs import attempts, billing, rows
from workers.jobs.billing import AT_ONCE, WAITING, bill
from workers.jobs.flight import Flight
from workers.jobs.run import RunLost

WEEKLY = {"unit": "week", "count": 1}
A_MONTH_LATER = datetime(2026, 4, 1, 12, tzinfo=UTC)
AGE = "UPDATE renewal_attempt SET published_at = published_at - interval '2 hours'"

# What the database refuses of one subscription is that command's fault alone: it becomes a dead letter.
STUMBLE = (
    """
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'not this one' USING ERRCODE = '22000'; END $$""",
    """CREATE TRIGGER stumble BEFORE INSERT ON subscription_cycle
FOR EACH ROW WHEN (NEW.subscription = 'bad' AND NEW.cycle_no > 1) EXECUTE FUNCTION stumble()""",
)


def opened(billing: BillingDesk) -> BillingDesk:
    billing.desk.do(
        a.enterprise(),
        a.top_up("acme", 100),
        a.plan("pro", "package", price=10, cycle=a.MONTHLY),
        a.plan("week", "package", price=3, cycle=WEEKLY),
    )
    billing.bill()
    return billing


@pytest.fixture
def acme(billing: BillingDesk) -> BillingDesk:
    """`acme` has 100 coins; a package costs 10 a month, or 3 a week; it is 1 March, noon."""
    return opened(billing)


@pytest.fixture
def own_billing(
    own_desk: LedgerDesk, own_database_url: str, edge_url: str, tmp_path: Path
) -> Iterator[BillingDesk]:
    """The same on a database whose schema the test may change."""
    made = BillingDesk(own_desk, own_database_url, edge_url, tmp_path)
    yield opened(made)
    made.close()


def paid(billing: BillingDesk) -> list[tuple[str, int]]:
    """Every cycle that was charged."""
    return billing.desk.all("SELECT subscription, cycle_no FROM subscription_cycle ORDER BY 1, 2")


def undecided(billing: BillingDesk) -> int:
    count: int = billing.desk.one("SELECT count(*) FROM renewal_attempt WHERE decided_at IS NULL")[0]
    return count


def commands(billing: BillingDesk) -> list[str]:
    """The scheduler's commands that were decided."""
    return [
        id_
        for (id_,) in billing.desk.all("SELECT id FROM command WHERE source = 'coins/scheduler' ORDER BY 1")
    ]


def everything(billing: BillingDesk) -> dict[str, Any]:
    """The rows of all tables that a job could write to."""
    tables = [
        name
        for (name,) in billing.desk.all(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'batch%%'"
        )
    ]
    return {name: sorted(billing.desk.all(f"SELECT x.xmin::text, x::text FROM {name} x")) for name in tables}


# Twice


def test_the_same_run_again_publishes_nothing_again(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(), a.subscribe("s2"), a.adjustment("acme", -75))
    acme.desk.now = A_MONTH_LATER
    assert acme.bill() == "0 paid, 2 refused, 0 begun, owed or ended"
    published, attempts, before = acme.published(), acme.attempts(), everything(acme)
    for table in ("job_run", "job_mark"):
        before.pop(table)
    assert acme.bill() == "0 paid, 0 refused, 0 begun, owed or ended"
    after = everything(acme)
    assert {table: after[table] for table in before} == before
    assert (acme.published(), acme.attempts()) == (published, attempts)


def test_a_doubled_message_on_the_edge_charges_once(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    acme.bill()
    ((_, fields),) = acme.client.xrange(STREAM)
    acme.client.xadd(STREAM, fields)
    until(lambda: acme.edge.said[-1].data.duplicate, 10)
    acme.bill()
    assert (paid(acme), acme.desk.credit("acme")) == ([("s1", 1), ("s1", 2)], 80)


# Stopped, overtaken


@pytest.mark.parametrize("asked", range(1, 9))
def test_stopped_anywhere_it_goes_on_where_it_was(acme: BillingDesk, asked: int) -> None:
    """Three subscriptions, four cycles behind each, and coins for ten cycles: stopped again and again."""
    acme.desk.do(*(a.subscribe(id_, plan="week") for id_ in ("s1", "s2", "s3")), a.adjustment("acme", -61))
    acme.desk.later(days=30)
    id_ = acme.stopped(asked)
    for _ in range(200):
        if not acme.stops_again(id_, asked):
            break
    acme.bill()
    assert acme.desk.credit("acme") == 0
    assert len(paid(acme)) == 3 + 10
    assert sorted(commands(acme)) == sorted(
        f"renewal:{one.subscription}:{one.cycle_no}:{one.attempt}" for one in acme.attempts()
    )
    assert {one.reason for one in acme.attempts() if one.cycle_no == 5} == {None, "insufficient_credit"}
    assert undecided(acme) == 0
    assert verify(acme.connection).differences == []


def test_a_run_that_goes_on_catches_up_with_what_it_had_left(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(plan="week"))
    acme.desk.later(days=30)
    with acme.edge.held():
        id_ = acme.stopped()
    acme.finish(acme.take(id_))
    assert paid(acme) == [("s1", number) for number in (1, 2, 3, 4, 5)]


def test_a_run_that_was_overtaken_writes_nothing_more_and_nobody_is_charged_twice(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe(), a.subscribe("s2"), a.adjustment("acme", -60))
    acme.desk.now = A_MONTH_LATER
    first = acme.begin()
    assert first.id is not None
    lost: list[RunLost] = []

    def frozen() -> None:
        with pytest.raises(RunLost) as caught:
            bill(first)
        lost.append(caught.value)

    waiting = threading.Thread(target=frozen)
    with acme.edge.held():
        waiting.start()
        until(lambda: undecided(acme) == 2, 10)
        acme.desk.all("UPDATE job_run SET lease_until = '-infinity' WHERE id = %s", first.id)
        # On another session, as another process.
        with connect_for_jobs(acme.settings.database, name="test") as other:
            second = rows.take(other, first.id, "another")
    assert second is not None
    assert second.epoch == first.epoch + 1
    waiting.join(20)
    assert len(lost) == 1
    assert undecided(acme) == 2, "what it heard of it could not write down"
    first.epoch = second.epoch
    acme.finish(first)
    assert (paid(acme)[1::2], undecided(acme)) == ([("s1", 2), ("s2", 2)], 0)
    assert acme.desk.credit("acme") == 0
    assert len(acme.attempts()) == 2


# The edge


def test_what_was_lost_on_the_edge_is_published_again_under_the_same_id(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        id_ = acme.stopped()
        assert acme.published() == 1
        acme.client.flushall()
    acme.desk.all(AGE)
    acme.finish(acme.take(id_))
    assert commands(acme) == ["renewal:s1:2:1"]
    assert acme.desk.one("SELECT published FROM renewal_attempt") == (2,)
    assert (paid(acme), acme.desk.credit("acme")) == ([("s1", 1), ("s1", 2)], 80)


def test_what_is_only_late_is_not_published_again(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        id_ = acme.stopped()
        acme.desk.now = A_MONTH_LATER
        assert acme.stops_again(id_, 20)
        assert (acme.published(), undecided(acme)) == (1, 1)


def test_published_twice_it_is_one_command(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        id_ = acme.stopped()
        acme.desk.all(AGE)
        assert acme.stops_again(id_, 20)
        assert acme.published() == 2
    acme.finish(acme.take(id_))
    until(lambda: len(acme.edge.said) == 2, 10)
    assert [one.data.duplicate for one in acme.edge.said] == [False, True]
    assert (paid(acme), acme.desk.credit("acme")) == ([("s1", 1), ("s1", 2)], 80)


def test_with_the_edge_away_the_attempt_is_there_and_is_published_when_it_is_back(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    run = acme.begin()
    run.settings = run.settings.model_copy(update={"redis_url": SecretStr("unix:///nowhere/valkey.sock")})
    with pytest.raises(EdgeUnavailable):
        bill(run)
    assert (undecided(acme), acme.published()) == (1, 0)
    acme.desk.all("UPDATE job_run SET state = 'waiting', lease_until = '-infinity'")
    acme.desk.all(AGE)
    assert run.id is not None
    acme.finish(acme.take(run.id))
    assert paid(acme) == [("s1", 1), ("s1", 2)]
    assert commands(acme) == ["renewal:s1:2:1"]


def test_no_more_than_so_many_wait_on_the_edge_at_a_time(acme: BillingDesk) -> None:
    count = WAITING + 200
    acme.desk.do(a.top_up("acme", 2 * count - 100), a.plan("cheap", "phone", price=1, cycle=a.MONTHLY))
    acme.desk.send(*(a.subscribe(f"p{n}", plan="cheap", kind="phone") for n in range(count)))
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        id_ = acme.stopped(after=30)
        assert undecided(acme) == WAITING
    acme.finish(acme.take(id_))
    acme.bill()
    assert len(paid(acme)) == 2 * count
    assert len(commands(acme)) == count
    assert acme.desk.credit("acme") == 0


def test_what_was_left_is_waited_for_in_whatever_order_it_is_decided(acme: BillingDesk) -> None:
    # Given three attempts that an earlier run has left, of which the last one listed is decided first
    acme.desk.send(*(a.subscribe(f"s{n}") for n in range(3)))
    acme.desk.now = A_MONTH_LATER
    flight, sender = Flight(acme.settings), Flight(acme.settings)
    with acme.edge.held():
        acme.stopped()
        acme.client.flushall()
        first, second, third = attempts.open_ones(acme.connection)
        flight.follow([first, second, third])
        sender.publish([third])
        sender.arrived()
    # When one looks, then that one has landed and the others are waited for
    found: list[Any] = []
    until(lambda: bool(found.extend(flight.landed(acme.connection)) or found), 10)
    assert [one.attempt for one in found] == [third]
    assert len(flight) == 2
    # And when they are decided, too, they land
    sender.publish([second, first])
    until(lambda: bool(found.extend(flight.landed(acme.connection)) or len(flight) == 0), 10)
    assert {one.attempt for one in found} == {first, second, third}
    flight.close()
    sender.close()


def test_what_did_not_reach_the_edge_is_told_when_the_next_is_sent(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        acme.stopped()
    made = attempts.open_ones(acme.connection)
    away = acme.settings.model_copy(update={"redis_url": SecretStr("unix:///nowhere/valkey.sock")})
    flight = Flight(away)
    flight.publish(made)
    with pytest.raises(EdgeUnavailable):
        flight.publish(made)
    flight.close()


def test_two_partitions_are_charged_side_by_side(acme: BillingDesk, database_url: str, edge_url: str) -> None:
    acme.settings = acme.settings.model_copy(update={"partitions": 2})
    names = [account_in(0), account_in(1)]
    acme.desk.do(a.plan("cheap", "phone", price=1, cycle=a.MONTHLY))
    for name in names:
        acme.desk.do(a.enterprise(name), a.top_up(name, 10_000))
        acme.desk.send(
            *(a.subscribe(f"{name}-{n}", account=name, plan="cheap", kind="phone") for n in range(1_300))
        )
    acme.desk.now = A_MONTH_LATER
    other = EdgeDesk(database_url, edge_url, acme.desk, partition=2)
    other.stream = commands_stream(1, SCHEDULER)
    try:
        acme.bill()
    finally:
        other.close()
    assert [acme.desk.credit(name) for name in names] == [7_400, 7_400]
    assert undecided(acme) == 0


def test_a_partition_that_nobody_reads_holds_up_no_other(
    acme: BillingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two partitions, of which one is read, and more due on the other than may wait at a time
    monkeypatch.setattr(billing, "SILENT_SECONDS", 3.0)
    monkeypatch.setattr(billing, "LEFT_OVER_SECONDS", 0.2)
    acme.settings = acme.settings.model_copy(update={"partitions": 2})
    read, unread = account_in(0), account_in(1)
    count = WAITING + AT_ONCE
    for account in (read, unread):
        acme.desk.do(a.enterprise(account), a.top_up(account, 2 * count))
    acme.desk.do(a.plan("cheap", "phone", price=1, cycle=a.MONTHLY))
    acme.desk.send(*(a.subscribe(f"a{n}", account=unread, plan="cheap", kind="phone") for n in range(count)))
    acme.desk.now = acme.desk.now.replace(hour=13)
    acme.desk.send(*(a.subscribe(f"b{n}", account=read, plan="cheap", kind="phone") for n in range(5)))
    acme.desk.now = A_MONTH_LATER.replace(hour=14)
    # When a run comes to what is due there first, then it goes on with the others, and the rest waits
    acme.bill()
    assert acme.desk.credit(read) == 2 * count - 10
    assert acme.desk.credit(unread) == count
    waiting = undecided(acme)
    assert waiting == WAITING // 2, "its share"
    # When they are due again, then they are charged, and no more waits on the other side
    acme.desk.now = datetime(2026, 5, 1, 14, tzinfo=UTC)
    acme.bill()
    assert acme.desk.credit(read) == 2 * count - 15
    assert undecided(acme) == waiting
    # When somebody reads it again, however slowly, everything there is charged, too
    monkeypatch.setattr(billing, "SILENT_SECONDS", 60.0)
    monkeypatch.setattr(billing, "LEFT_OVER_SECONDS", 60.0)
    acme.edge.stream = commands_stream(1, SCHEDULER)
    acme.bill()
    acme.bill()
    assert undecided(acme) == 0
    assert acme.desk.credit(unread) == 0


def account_in(partition: int) -> str:
    """A name whose commands go to that one of two partitions."""
    return next(name for n in range(100) if partition_of(name := f"acme-{n}", 2) == partition)


# What people do meanwhile


def test_paid_by_hand_while_its_command_waits_it_is_not_owed(acme: BillingDesk) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        id_ = acme.stopped()
        acme.desk.do(a.next_cycle())
    assert acme.finish(acme.take(id_)).startswith("0 paid, ")
    (attempt,) = acme.attempts()
    assert attempt.reason == Reason.ALREADY_RENEWED
    assert (acme.row().status, acme.row().past_due_since) == ("active", None)
    assert (paid(acme), acme.desk.credit("acme")) == ([("s1", 1), ("s1", 2)], 80)


@pytest.mark.parametrize("deleted", [False, True])
def test_canceled_while_its_command_waits_it_stays_canceled(acme: BillingDesk, deleted: bool) -> None:
    acme.desk.do(a.subscribe())
    acme.desk.now = A_MONTH_LATER
    with acme.edge.held():
        id_ = acme.stopped()
        acme.desk.do(a.cancel(), *([a.delete()] if deleted else []))
    acme.finish(acme.take(id_))
    (attempt,) = acme.attempts()
    assert attempt.reason == (Reason.SUBSCRIPTION_NOT_FOUND if deleted else Reason.SUBSCRIPTION_NOT_ACTIVE)
    assert (acme.row().status, acme.row().next_try_at) == ("canceled", None)
    assert acme.desk.credit("acme") == 90


# A command that crashes


@pytest.fixture
def stumbling(own_billing: BillingDesk) -> BillingDesk:
    """The renewal of `bad` has crashed, that of `good` beside it is paid."""
    own_billing.desk.do(a.subscribe("bad"), a.subscribe("good"))
    for statement in STUMBLE:
        own_billing.desk.all(statement)
    own_billing.desk.now = A_MONTH_LATER
    assert own_billing.bill() == "1 paid, 0 refused, 0 begun, owed or ended"
    return own_billing


def test_a_command_that_crashes_is_left_to_people_and_holds_up_nobody(stumbling: BillingDesk) -> None:
    (letter,) = stumbling.desk.letters()
    assert (letter["reason"], letter["command_id"]) == ("crashed", "renewal:bad:2:1")
    assert [one for one in paid(stumbling) if one[1] == 2] == [("good", 2)]
    published = stumbling.published()
    stumbling.desk.all(AGE)
    stumbling.desk.later(days=31)
    stumbling.bill()
    assert [one for one in paid(stumbling) if one[1] > 1] == [("good", 2), ("good", 3)]
    assert stumbling.published() == published + 1, "it is not published again and again"
    assert (stumbling.row("bad").status, undecided(stumbling)) == ("active", 1)


def test_what_is_replayed_is_settled_like_any_other(stumbling: BillingDesk) -> None:
    stumbling.desk.all("DROP TRIGGER stumble ON subscription_cycle")
    (letter,) = stumbling.desk.letters()
    before = len(stumbling.edge.said)
    stumbling.client.xadd(STREAM, {"event": bytes(letter["raw"])})
    until(lambda: len(stumbling.edge.said) > before, 10)
    stumbling.bill()
    assert undecided(stumbling) == 0
    assert ("bad", 2) in paid(stumbling)
    stumbling.advance(days=31)
    assert ("bad", 3) in paid(stumbling)
    assert [one["state"] for one in stumbling.desk.letters()] == ["resolved"]


# A dry run


def test_a_dry_run_says_what_the_run_would_do_and_writes_nothing(acme: BillingDesk) -> None:
    acme.desk.do(
        a.subscribe("s1", plan="week"),
        a.subscribe("s2"),
        a.subscribe("by-hand", payment_method="manual"),
        a.subscribe("ends"),
        a.cancel("ends", at="period_end"),
        a.adjustment("acme", -71),
    )
    acme.desk.later(days=31)
    before = everything(acme)
    foreseen = acme.foreseen()
    assert everything(acme) == before
    assert acme.published() == 0
    run = acme.begin()
    acme.finish(run)
    done = {
        (f"{one.subscription} cycle {one.cycle_no}", "refused" if one.reason else "done", one.reason)
        for one in acme.attempts()
    } | {(one.item, one.outcome, one.reason) for one in acme.items(run)}
    assert {(one.item, one.outcome, one.reason) for one in foreseen} == done
    assert ("s2 cycle 2", "refused", "insufficient_credit") in done
    assert len(foreseen) == len(done)
    told = {one.item: one.detail for one in foreseen}
    assert told["s1 cycle 2"] == "3 from acme"
    assert (told["by-hand"], told["ends"]) == ("would be past_due", "would be canceled")


def test_a_dry_run_counts_coins_down_in_the_order_in_which_the_run_would(acme: BillingDesk) -> None:
    """Two are four weeks behind, and coins are there for four cycles: both get two of them."""
    acme.desk.do(a.subscribe("s1", plan="week"), a.subscribe("s2", plan="week"), a.adjustment("acme", -82))
    acme.desk.later(days=30)
    foreseen = {one.item for one in acme.foreseen() if one.outcome == "done"}
    acme.bill()
    assert {f"{id_} cycle {number}" for id_, number in paid(acme) if number > 1} == foreseen
    assert foreseen == {f"{id_} cycle {number}" for id_ in ("s1", "s2") for number in (2, 3)}
