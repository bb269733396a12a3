"""Three years of random subscriptions in seconds: charged once, on their days, or dunned by the calendar, come what may.

What must come of each is worked out by `almanac.py`, which knows nothing of the product's rules. On the embedded server
alone: twice would take too long. `COINS_HYPOTHESIS_PROFILE=long` plays hundreds of lives for some ten minutes, and looks for
the shortest that differs.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import Phase, given, settings

from ledger.verify import verify
from tests import builders as a
from tests.conftest import EMBEDDED, EMPTY
from tests.desk import LedgerDesk
from tests.workers.jobs.almanac import Almanac, Cycle, Holder, Plan, Subscription, Told, nth
from tests.workers.jobs.almanac import Tried as Attempt
from tests.workers.jobs.billing_desk import BillingDesk, looking, minute_after
from tests.workers.jobs.lives import BEGIN, END, KINDS, LONG_CYCLES, SHORT_CYCLES, Act, Begun, Life, lives

LONG = os.environ.get("COINS_HYPOTHESIS_PROFILE") == "long"
HALF_A_MINUTE = timedelta(seconds=30)


class Played:
    """A life as it is lived: by the ledger with its billing cycle, and by the almanac."""

    accounts = ("acme", "solo", "dept")

    def __init__(self, life: Life, billing: BillingDesk) -> None:
        self.life, self.billing, self.desk = life, billing, billing.desk
        self.almanac = Almanac()
        self.told: list[Told] = []
        self.put_in = self.spent = 0
        self.last_run = BEGIN
        self.plans: dict[str, Plan] = {}
        self.everything_ever = self.runs = 0

    def play(self) -> None:
        self.open()
        acts = self.life.acts
        for number, act in enumerate(acts):
            self.let_pass(act.at)
            self.do(act)
            following = acts[number + 1].at if number + 1 < len(acts) else END
            if (moment := minute_after(self.desk.now)) < following and self.awake(moment) == moment:
                self.run(moment)
        self.let_pass(END)
        self.run(END)

    def open(self) -> None:
        self.desk.now = BEGIN
        zones = dict(zip(self.accounts, self.life.zones, strict=True))
        self.desk.do(
            a.enterprise("acme", timezone=zones["acme"], email="acme@acme.example"),
            a.enterprise("solo", timezone=zones["solo"]),
            a.department("dept", "acme", timezone=zones["dept"]),
        )
        for id_, payer in (("acme", "acme"), ("solo", "solo"), ("dept", "acme")):
            self.almanac.holders[id_] = Holder(id_, zones[id_], payer)
        self.top_up("acme", self.life.credit + 1)
        self.top_up("solo", self.life.credit + 1)

    # The clock

    def awake(self, moment: datetime) -> datetime:
        """The first moment from then on at which there is a scheduler."""
        for since, until in self.life.outages:
            if since <= moment < until:
                moment = until
        return moment

    def let_pass(self, until: datetime) -> None:
        while (due := self.billing.next_look()) is not None:
            assert due == self.almanac.next_look()
            moment = self.awake(max(minute_after(due), self.last_run + timedelta(minutes=1)))
            if moment > until:
                break
            self.run(moment)
        self.desk.now = until + HALF_A_MINUTE

    def run(self, moment: datetime) -> None:
        self.desk.now = self.last_run = moment
        self.runs += 1
        self.bill(self.life.stops[self.runs % len(self.life.stops)])
        self.almanac.bill(moment)
        self.told += map(told, self.billing.events())
        coming = self.billing.next_look()
        assert coming is None or coming > moment

    def bill(self, stop: int) -> None:
        run = self.billing.begin(stopping=looking(stop) if stop else lambda: False)
        assert run.id is not None
        while self.billing.stops(run):
            run = self.billing.take(run.id)

    # What people do

    def do(self, act: Begun | Act) -> None:
        if isinstance(act, Begun):
            self.begin(act)
            return
        account = self.almanac.holders[self.accounts[act.which % 3]]
        live = sorted(self.almanac.subscriptions)
        if act.what == "top up":
            self.top_up(account.payer, act.amount)
        elif act.what == "spend":
            self.everything_ever += 1
            refused = self.almanac.spend(account.id, act.amount)
            self.agreed(a.order(f"o{self.everything_ever}", account.id, act.amount), refused)
            self.spent += 0 if refused else act.amount
        elif act.what == "suspend or resume":
            account.suspended = not account.suspended
            self.agreed(a.suspend(account.id) if account.suspended else a.resume(account.id), None)
        elif live:
            self.do_to(self.almanac.subscriptions[live[act.which % len(live)]], act)

    def do_to(self, one: Subscription, act: Act) -> None:
        now = self.desk.now
        match act.what:
            case "pay":
                self.agreed(a.next_cycle(one.id, one.account.id), self.almanac.pay(one.id, now))
            case "cancel":
                at = "now" if act.flag else "period_end"
                self.agreed(a.cancel(one.id, at), self.almanac.cancel(one.id, now, now=act.flag))
            case "change plan":
                cycle = LONG_CYCLES[act.amount % len(LONG_CYCLES)]
                plan = self.plan(one.plan.kind, cycle, act.amount % 40 + 1)
                self.agreed(a.change(one.id, plan=plan.id), self.almanac.change_plan(one.id, plan))
            case "change method":
                method = "manual" if act.flag else "balance"
                refused = self.almanac.change_method(one.id, manual=act.flag)
                self.agreed(a.change(one.id, payment_method=method), refused)
            case "release":
                for device in one.goods:
                    if one.plan.kind == "renewal" and self.almanac.active_devices.pop(device, None):
                        self.agreed(a.release(one.account.id, device), None)
                        return

    def begin(self, act: Begun) -> None:
        account, kind = self.almanac.holders[self.accounts[act.account]], KINDS[act.kind]
        id_ = f"s{len(self.almanac.subscriptions):02}"
        plan = self.plan(
            "renewal" if kind == "device" else kind, [*LONG_CYCLES, *SHORT_CYCLES][act.cycle], act.price
        )
        goods: list[str] = []
        if kind == "device":
            if account.suspended or self.almanac.holders[account.payer].suspended:
                return
            self.top_up(account.payer, act.devices)
            goods = [f"d{self.everything_ever + n}" for n in range(act.devices)]
            self.everything_ever += act.devices
            self.desk.do(a.onboarding(account.id, *goods))
            self.spent += act.devices
            self.almanac.holders[account.payer].credit -= act.devices
            self.almanac.active_devices |= dict.fromkeys(goods, account.id)
        refused = self.almanac.subscribe(
            id_, account.id, plan, self.desk.now, manual=act.manual, goods=goods, start_at=act.start
        )
        method = "manual" if act.manual else "balance"
        command = a.subscribe(
            id_,
            account.id,
            plan.id,
            kind=kind,
            goods=goods,
            payment_method=method,
            start_at=act.start.isoformat() if act.start else None,
        )
        self.agreed(command, refused)

    def plan(self, kind: str, cycle: Cycle, price: int) -> Plan:
        id_ = f"{kind}-{cycle.count}-{cycle.unit}-{price}"
        if id_ not in self.plans:
            self.plans[id_] = Plan(id_, kind, price, cycle)
            self.desk.do(a.plan(id_, kind, price=price, cycle=cycle._asdict()))
        return self.plans[id_]

    def top_up(self, account: str, amount: int) -> None:
        self.desk.do(a.top_up(account, amount))
        self.almanac.holders[account].credit += amount
        self.put_in += amount

    def agreed(self, command: Any, expected: str | None) -> None:
        said = self.desk.ask(command).data
        assert said.reason == expected, f"{command!r} at {self.desk.now}: {said.message}"
        self.told += map(told, self.desk.further)


def told(event: Any) -> Told:
    data = event.data
    what = event.type.removeprefix("coins.").removesuffix(".v1")
    return Told(what, data.subscription, data.cycle_no, data.reason, data.next_try)


# What must hold in the end


def demand_agreement(played: Played) -> None:
    """Everything is as the almanac says."""
    billing, almanac = played.billing, played.almanac
    paid = defaultdict(list)
    for id_, *cycle in played.desk.all(
        "SELECT subscription, cycle_no, begins_at, ends_at, amount, plan, paid_at FROM subscription_cycle "
        "ORDER BY subscription, cycle_no"
    ):
        paid[id_].append(tuple(cycle))
    tried = defaultdict(list)
    for id_, *attempt in billing.attempts():
        tried[id_].append(Attempt(*attempt))
    for id_, expected in almanac.subscriptions.items():
        row = billing.row(id_)
        assert paid.pop(id_, []) == expected.paid
        assert tried.pop(id_, []) == expected.tried
        assert (row.status, row.cancel_at, row.next_try_at, row.next_payment_at) == (
            expected.status,
            expected.cancel_at,
            expected.look_at,
            expected.next_payment_at,
        )
        if row.status != "canceled":
            assert (row.past_due_since, row.refused_for) == (expected.owed_since, expected.refused_for)
            assert row.goods == expected.goods
    assert not paid
    assert not tried
    assert {id_: played.desk.credit(id_) for id_ in almanac.holders} == {
        id_: holder.credit for id_, holder in almanac.holders.items()
    }
    assert by_subscription(played.told) == by_subscription(almanac.told)


def by_subscription(events: list[Told]) -> dict[str, list[Told]]:
    found = defaultdict(list)
    for one in events:
        found[one.subscription].append(one)
    return dict(found)


def demand_sense(played: Played) -> None:
    """What must hold whatever the almanac says, of the rows alone."""
    all_ = played.desk.all
    cycles: dict[str, list[Any]] = defaultdict(list)
    for id_, *cycle in all_(
        "SELECT c.subscription, c.cycle_no, c.begins_at, c.ends_at, c.amount, "
        "  (SELECT -sum(e.amount) FROM entry e WHERE e.transaction = c.transaction AND e.account > 0) "
        "FROM subscription_cycle c ORDER BY c.subscription, c.cycle_no"
    ):
        cycles[id_].append(cycle)
    for some in cycles.values():
        assert [cycle[0] for cycle in some] == list(range(1, len(some) + 1))
        assert all(before[2] == after[1] for before, after in pairwise(some)), "they touch"
        assert all(begins < ends and amount == charged for _, begins, ends, amount, charged in some)
    charged = sum(cycle[3] for some in cycles.values() for cycle in some)
    credit = sum(played.desk.credit(id_) for id_ in played.almanac.holders)
    assert credit == played.put_in - played.spent - charged
    assert not all_("SELECT transaction FROM subscription_cycle GROUP BY transaction HAVING count(*) > 1")
    assert not all_(
        "SELECT subscription FROM subscription WHERE next_payment_at <= %s AND status NOT IN ('past_due', 'suspended')",
        END,
    ), "what was to be paid in the past was paid, or is owed"
    assert not all_("SELECT subscription FROM renewal_attempt WHERE decided_at IS NULL")
    assert not all_(
        "SELECT subscription FROM renewal_attempt WHERE reason IS NULL "
        "GROUP BY subscription, cycle_no HAVING count(*) > 1"
    ), "no cycle is paid by two attempts"
    assert played.desk.letters() == []
    with psycopg.connect(played.billing.settings.database, autocommit=True) as connection:
        assert verify(connection).differences == []


Open = Callable[[], Any]


@pytest.fixture
def open_billing(emptied_database_url: str, edge_url: str, tmp_path: Path) -> Open:
    """A billing desk on an empty database, for each life anew."""

    @contextmanager
    def opened() -> Iterator[BillingDesk]:
        with psycopg.connect(emptied_database_url, autocommit=True) as connection:
            connection.execute(EMPTY)
        desk = LedgerDesk(emptied_database_url, now=BEGIN)
        try:
            billing = BillingDesk(desk, emptied_database_url, edge_url, tmp_path)
            try:
                yield billing
            finally:
                billing.close()
        finally:
            desk.close()

    return opened


@pytest.mark.parametrize("database_server", [EMBEDDED], indirect=True)
@pytest.mark.timeout(100_000 if LONG else 180)
def test_every_cycle_is_charged_once_on_its_day_or_dunned_by_the_calendar(open_billing: Open) -> None:
    @settings(
        max_examples=400 if LONG else 12,
        phases=list(Phase) if LONG else [Phase.explicit, Phase.reuse, Phase.generate],
    )
    @given(life=lives())
    def lived(life: Life) -> None:
        with open_billing() as billing:
            played = Played(life, billing)
            played.play()
            demand_agreement(played)
            demand_sense(played)

    lived()


def test_the_almanac_counts_as_people_do() -> None:
    """The yardstick itself, on dates that anybody can check."""
    anchor = datetime(2026, 1, 31, 1, 30, tzinfo=UTC)  # 02:30 in Berlin
    found = [nth(anchor, Cycle("month", 1), n, "Europe/Berlin") for n in range(4)]
    assert [one.isoformat() for one in found] == [
        "2026-01-31T01:30:00+00:00",
        "2026-02-28T01:30:00+00:00",
        "2026-03-31T00:30:00+00:00",  # summer time by now
        "2026-04-30T00:30:00+00:00",
    ]
    gap = datetime(2026, 2, 28, 1, 30, 20, tzinfo=UTC)
    assert nth(gap, Cycle("day", 29), 1, "Europe/Berlin") == datetime(2026, 3, 29, 1, tzinfo=UTC)
