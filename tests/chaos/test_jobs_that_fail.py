"""Workers of jobs and schedulers that are killed or frozen in the middle: nothing is lost, nothing is doubled.

A job is caught in its middle by what it needs next: a row that somebody has locked, a mail server that does not answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from ledger.database import connect
from messages.commands import Command
from messages.streams import EVENTS
from tests import builders as a
from tests.chaos.reckoning import demand_sound_books
from tests.desk import LedgerDesk
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until
from tests.workers.mail.servers import Postmaster, serving
from workers.jobs import rows
from workers.whole import UNFINISHED

pytestmark = pytest.mark.system
DAYS_AGO = 40
FORTNIGHTLY = {"unit": "day", "count": 15}
CYCLES = [1, 2, 3]  # of what began forty days ago: one was paid then, two are due since
# Each a little more than its job does in one transaction: 250 cycles, 200 receipts, 50 bills, 500 holds.
WEST, LATE, NORTH_RECHARGES, SOUTH_RECHARGES, CUSTOMERS, NORTH_HOLDS, SOUTH_HOLDS = (
    260,
    60,
    200,
    30,
    60,
    500,
    40,
)
# The scan takes off two thousand accounts at a time, as often as they were touched.
LOW, CHARGES, POOR = 120, 16, 30
# The lease of a run lasts fifteen seconds; the rest is for a machine that has other things to do.
TAKEN_OVER_SECONDS = 50.0
CAUGHT_SECONDS = 40.0

KINDS = {"billing-cycle", "receipts", "bills", "hold-expiry", "threshold-scan", "exports"}
IN_THE_MIDDLE = """
SELECT r.job, r.id FROM job_run r
WHERE r.state = 'running' AND r.lease_until > clock_timestamp() AND (r.done > 0 OR EXISTS (
  SELECT FROM renewal_attempt a WHERE a.run = r.id AND a.decided_at IS NULL))"""
# As if fifteen seconds had passed.
LEASES_RUN_OUT = "UPDATE job_run SET lease_until = '-infinity', rung_at = NULL WHERE state = 'running'"
# What each kind needs for its second transaction, or for its third file.
IN_THE_WAY = (
    "SELECT FROM account WHERE account IN ('late', 'south', 'c-55') FOR UPDATE",
    "SELECT FROM receipt_due WHERE account = (SELECT id FROM account WHERE account = 'south') FOR UPDATE",
    "SELECT FROM touched ORDER BY id DESC LIMIT 1 FOR UPDATE",
    "LOCK TABLE payment_methods IN ACCESS EXCLUSIVE MODE",
)
# What an event is about, by its type: it is told once.
ABOUT = {
    "coins.ReceiptIssued.v1": ("receipt",),
    "coins.BillIssued.v1": ("bill",),
    "coins.ExportReady.v1": ("export",),
    "coins.BalanceLow.v1": ("account", "threshold"),
    "coins.SubscriptionRenewed.v1": ("subscription", "cycle_no"),
}


@contextmanager
def long_ago(site: Site) -> Iterator[LedgerDesk]:
    """Where commands are applied forty days ago, before any process runs."""
    desk = LedgerDesk(site.database_url, now=datetime.now(UTC) - timedelta(days=DAYS_AGO))
    try:
        yield desk
    finally:
        desk.close()


def apply(desk: LedgerDesk, *asks: Command) -> None:
    """All of them in one batch."""
    for said in desk.send(*asks):
        assert said.data.reason is None, said.data


def owe_everything(desk: LedgerDesk) -> None:
    """Something of every kind is due, and what comes last of each can be held up without the others."""
    south = a.enterprise("south", email="fin@south.example", boss_email="boss@south.example")
    apply(desk, a.enterprise("north"), south, a.enterprise("west"), a.branch("late", "west"), a.reseller())
    owe_receipts(desk)
    owe_bills(desk)
    owe_cycles(desk, west=WEST, late=LATE)
    owe_holds(desk)
    owe_warnings(desk)
    apply(desk, a.export("e1", "north", format="csv"), a.export("e2", "west", filters={"subtree": True}))
    apply(desk, a.export("e3", "west", report="payment-methods"))


def owe_receipts(desk: LedgerDesk) -> None:
    apply(desk, *(a.top_up("north", 150) for _ in range(NORTH_RECHARGES)))
    apply(desk, *(a.top_up("south", 100) for _ in range(SOUTH_RECHARGES)))


def owe_bills(desk: LedgerDesk) -> None:
    customers = [f"c-{n:02}" for n in range(CUSTOMERS)]
    apply(desk, a.top_up("shop", 10_000), *map(a.sponsored_customer, customers))
    apply(desk, *map(a.grant, customers))
    apply(desk, *(a.onboarding(one, f"d-{one}", price=7) for one in customers))


def owe_cycles(desk: LedgerDesk, **counts: int) -> None:
    apply(desk, a.top_up("west", 100_000), a.transfer("west", "late", 1_000))
    apply(desk, a.plan("cheap", "phone", price=1, cycle=FORTNIGHTLY))
    for account, count in counts.items():
        ids = [f"{account}-{n:03}" for n in range(count)]
        apply(desk, *(a.subscribe(id_, account, "cheap", kind="phone") for id_ in ids))
        desk.later(minutes=1)


def owe_holds(desk: LedgerDesk) -> None:
    soon = desk.now + timedelta(minutes=1)
    apply(desk, *(a.hold(f"h-{n:03}", "north", 1, expires_at=soon) for n in range(NORTH_HOLDS)))
    apply(desk, *(a.hold(f"i-{n:03}", "south", 1, expires_at=soon) for n in range(SOUTH_HOLDS)))


def owe_warnings(desk: LedgerDesk) -> None:
    """All of them fall below a quarter of what they had: first those that were touched again and again."""
    for name, count, charges in (("low", LOW, CHARGES), ("poor", POOR, 1)):
        accounts = [f"{name}-{n:03}" for n in range(count)]
        apply(desk, *(a.branch(one, "north") for one in accounts))
        apply(desk, *(a.transfer("north", one, 100) for one in accounts))
        for number in range(charges):
            price = 80 // charges
            apply(desk, *(a.onboarding(one, f"{one}-{number}", price=price) for one in accounts))


def ask_for(site: Site, *jobs: str) -> None:
    with connect(site.database_url, name="test") as connection:
        for job in jobs:
            rows.ask(connection, job, datetime.now(UTC), "tests")


def in_the_middle(site: Site) -> dict[str, int]:
    """The runs that have done something, and have more to do."""
    return dict(site.rows(IN_THE_MIDDLE))


def all_done(site: Site, runs: dict[str, int]) -> bool:
    states = site.rows("SELECT DISTINCT state FROM job_run WHERE id = ANY(%s)", list(runs.values()))
    return states == [("done",)]


@contextmanager
def in_the_way(site: Site) -> Iterator[None]:
    with psycopg.connect(site.database_url) as connection:
        for statement in IN_THE_WAY:
            connection.execute(statement.encode())
        yield
        connection.rollback()


def test_killed_in_the_middle_of_every_kind_of_job_at_once_they_lose_and_double_nothing(site: Site) -> None:
    with long_ago(site) as desk:
        owe_everything(desk)
    with in_the_way(site):
        jobs, scheduler, *_ = site.start_all(JOBS, SCHEDULER, WORKER, RELAY)
        ask_for(site, *KINDS)
        until(lambda: in_the_middle(site).keys() >= KINDS, CAUGHT_SECONDS, site.logs)
        caught = in_the_middle(site)
        jobs.kill()
        scheduler.kill()
    site.start_all(JOBS, SCHEDULER)
    until(lambda: all_done(site, caught), TAKEN_OVER_SECONDS, site.logs)
    until(lambda: nothing_waits(site), 20, site.logs)

    demand_every_cycle_was_charged_once(site, west=100_000 - 1_000 - 2 * WEST - WEST, late=1_000 - 3 * LATE)
    assert site.rows("SELECT state, count(*) FROM hold GROUP BY 1") == [
        ("expired", NORTH_HOLDS + SOUTH_HOLDS)
    ]
    assert site.rows("SELECT account FROM account WHERE frozen <> 0") == []
    demand_receipts_without_gaps(
        site, {"north": NORTH_RECHARGES, "south": SOUTH_RECHARGES, "shop": 1, "west": 1}
    )
    assert site.rows("SELECT state, count(*) FROM mail GROUP BY 1") == [("sent", 2 * SOUTH_RECHARGES)]
    assert len(list((site.directory / "data" / "mail").glob("*.eml"))) == 2 * SOUTH_RECHARGES
    bills = site.rows("SELECT a.account, b.charged FROM bill b JOIN account a ON a.id = b.account ORDER BY 1")
    assert bills == [(f"c-{n:02}", 7) for n in range(CUSTOMERS)]
    demand_files(site)
    told = demand_each_was_told_once(site)
    assert told["coins.ReceiptIssued.v1"] == set(site.rows("SELECT number FROM receipt"))
    assert told["coins.BillIssued.v1"] == set(site.rows("SELECT bill FROM bill"))
    low = [f"low-{n:03}" for n in range(LOW)] + [f"poor-{n:03}" for n in range(POOR)]
    assert told["coins.BalanceLow.v1"] == {(account, "25 %") for account in low}
    assert len(told["coins.SubscriptionRenewed.v1"]) == 2 * (WEST + LATE)
    demand_nobody_gave_up(site)
    demand_sound_books(site)


def nothing_waits(site: Site) -> bool:
    """No mail is to be sent, no event to be published."""
    count = "SELECT (SELECT count(*) FROM mail WHERE state = 'waiting') + (SELECT count(*) FROM outbox)"
    return bool(site.value(count) == 0)


def demand_every_cycle_was_charged_once(site: Site, **credit: int) -> None:
    cycles = site.rows(
        "SELECT subscription, array_agg(cycle_no ORDER BY cycle_no) FROM subscription_cycle GROUP BY 1 ORDER BY 1"
    )
    assert cycles == [
        (id_, CYCLES) for (id_,) in site.rows("SELECT subscription FROM subscription ORDER BY 1")
    ]
    assert (
        dict(site.rows("SELECT account, credit FROM account WHERE account = ANY(%s)", list(credit))) == credit
    )
    tried = site.rows("SELECT DISTINCT attempt, decided_at IS NOT NULL, reason FROM renewal_attempt")
    assert tried == [(1, True, None)]


def demand_receipts_without_gaps(site: Site, expected: dict[str, int]) -> None:
    """As many in a row as there were recharges, one for each."""
    assert site.rows("SELECT FROM receipt_due") == []
    series = site.rows(
        "SELECT a.account, array_agg(r.seq ORDER BY r.transaction) FROM receipt r JOIN account a ON a.id = r.top "
        "GROUP BY 1, r.year"
    )
    assert sorted(series) == [(top, list(range(1, count + 1))) for top, count in sorted(expected.items())]
    assert (
        site.rows(
            "SELECT t.id FROM transaction t FULL JOIN receipt r ON r.transaction = t.id "
            "WHERE (t.type = 'recharge') IS DISTINCT FROM (r.number IS NOT NULL)"
        )
        == []
    )


def demand_files(site: Site) -> None:
    """Each export is ready and is its file; of what was broken off, nothing looks like one."""
    files = site.directory / "data" / "files"
    ready = dict(site.rows("SELECT path, sha256 FROM export WHERE state = 'ready'"))
    assert site.rows("SELECT export FROM export WHERE state = 'ready' ORDER BY 1") == [
        ("e1",),
        ("e2",),
        ("e3",),
    ]
    for path, sha256 in ready.items():
        assert hashlib.sha256((files / path).read_bytes()).hexdigest() == sha256
    found = {str(file.relative_to(files)) for file in files.rglob("*") if file.is_file()}
    assert {file for file in found if UNFINISHED not in file} == set(ready)


def demand_each_was_told_once(site: Site) -> dict[str, set[tuple[Any, ...]]]:
    """Whatever is told of has one event, with one content, however often it was published. What was told of, by type."""
    contents: dict[str, set[bytes]] = defaultdict(set)
    ids: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    with site.edge() as client:
        published: Any = client.xrange(EVENTS)
    for _, fields in published:
        event = json.loads(fields[b"event"])
        contents[event["id"]].add(fields[b"event"])
        about = tuple(event["data"][name] for name in ABOUT[event["type"]])
        ids[event["type"], about].add(event["id"])
    assert [raw for raw in contents.values() if len(raw) > 1] == []
    assert {thing: found for thing, found in ids.items() if len(found) > 1} == {}
    told: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for type_, about in ids:
        told[type_].add(about)
    return told


def demand_nobody_gave_up(site: Site) -> None:
    assert site.rows("SELECT job, error FROM job_run WHERE state = 'failed'") == []
    assert site.rows("SELECT run, item, reason FROM job_item WHERE outcome = 'failed'") == []
    assert site.rows("SELECT why FROM dead_letter") == []


# Mails


@dataclass
class SlowPostmaster(Postmaster):
    """Takes every mail, and does not say so of the ones with these numbers until it is told to."""

    answers: dict[int, threading.Event] = field(default_factory=dict)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await super().handle_DATA(server, session, envelope)
        may_answer = self.answers.get(len(self.received))
        while may_answer is not None and not may_answer.is_set():
            await asyncio.sleep(0.02)
        return answer

    def ids(self) -> dict[str, list[bytes]]:
        """Every content that came under a Message-ID."""
        found: dict[str, list[bytes]] = defaultdict(list)
        for one in self.received:
            found[str(message_from_bytes(one.content)["Message-ID"])].append(one.content)
        return found


KILLED_AT, FROZEN_AT = 4, 8
RECHARGED, SUBSCRIBED = 9, 12
# Who has changed a row last, and what stands in it.
TRACES = (
    "SELECT xmin::text, m.* FROM mail m ORDER BY id",
    "SELECT xmin::text, r.* FROM renewal_attempt r ORDER BY subscription, cycle_no",
    "SELECT xmin::text, s.* FROM subscription s ORDER BY subscription",
)


def test_killed_or_frozen_between_sending_and_writing_down_a_mail_comes_again_as_the_same(site: Site) -> None:
    """The first worker is killed, the second is frozen, the third goes on with what both had begun; the second wakes up."""
    with long_ago(site) as desk:
        apply(desk, a.enterprise("west", email="fin@west.example", boss_email="boss@west.example"))
        apply(desk, a.branch("late", "west"), *(a.top_up("west") for _ in range(RECHARGED)))
        owe_cycles(desk, west=SUBSCRIBED)
    postmaster = SlowPostmaster(answers={KILLED_AT: threading.Event(), FROZEN_AT: threading.Event()})
    with serving(postmaster) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        killed = site.start(*JOBS, wait=False, SMTP_URL=url)
        site.start(*SCHEDULER, wait=False)
        ask_for(site, "receipts")
        until(lambda: len(postmaster.received) == KILLED_AT, CAUGHT_SECONDS, site.logs)
        killed.kill()
        site.rows(LEASES_RUN_OUT)
        postmaster.answers[KILLED_AT].set()

        frozen = site.start(*JOBS, SMTP_URL=url)
        ask_for(site, "billing-cycle")
        until(lambda: len(postmaster.received) == FROZEN_AT, TAKEN_OVER_SECONDS, site.logs)
        until(lambda: in_the_middle(site).keys() >= {"mails", "billing-cycle"}, CAUGHT_SECONDS, site.logs)
        caught = in_the_middle(site)
        frozen.freeze()
        site.wait_ready(site.start(*JOBS, wait=False, SMTP_URL=url), *site.start_all(WORKER, RELAY))
        until(lambda: all_done(site, caught) and nothing_waits(site), TAKEN_OVER_SECONDS, site.logs)
        before = [site.rows(trace) for trace in TRACES]
        postmaster.answers[FROZEN_AT].set()
        frozen.wake()
        until(lambda: frozen.log.count("run lost") == 2, 20, site.logs)

        assert [site.rows(trace) for trace in TRACES] == before
        came = postmaster.ids()
        mails = {id_ for (id_,) in site.rows("SELECT message_id FROM mail WHERE state = 'sent'")}
        assert came.keys() == mails
        assert len(mails) == 2 * (RECHARGED + 1)
        assert sorted(len(contents) for contents in came.values())[-3:] == [1, 2, 2]
        assert all(len(set(contents)) == 1 for contents in came.values())
    demand_receipts_without_gaps(site, {"west": RECHARGED + 1})
    demand_every_cycle_was_charged_once(site, west=RECHARGED * 100 + 100_000 - 1_000 - 3 * SUBSCRIBED)
    demand_each_was_told_once(site)
    demand_nobody_gave_up(site)
    demand_sound_books(site)
