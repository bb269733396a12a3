"""Accounts that spend, and subscriptions that could not be charged."""

from __future__ import annotations

from typing import Any

from tests import builders as a
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs.warnings import scan


def spend(desk: LedgerDesk, id_: str, amount: int, account: str = "acme") -> None:
    desk.do(a.order(id_, account, price=amount))


def next_try(desk: LedgerDesk, id_: str) -> Any:
    return desk.one("SELECT next_try_at FROM subscription WHERE subscription = %s", id_)[0]


def owe(
    desk: LedgerDesk,
    id_: str = "s1",
    account: str = "acme",
    *,
    price: int = 50,
    since_days: int = 0,
    reason: str = "insufficient_credit",
    kind: str = "package",
    goods: tuple[str, ...] = (),
) -> None:
    """A subscription whose next cycle could not be charged, and that is to be tried again tomorrow."""
    plan = f"plan-{id_}"
    desk.do(a.plan(plan, "renewal" if kind == "device" else kind, price=price, cycle=a.MONTHLY))
    later = (desk.now.replace(year=2027)).isoformat()
    desk.do(a.subscribe(id_, account, plan, kind=kind, goods=list(goods), start_at=later))
    desk.all(
        "UPDATE subscription SET status = 'past_due', refused_for = %s, past_due_since = %s::timestamptz,"
        " next_payment_at = %s::timestamptz - make_interval(days => %s), next_try_at = %s::timestamptz + interval '1 day'"
        " WHERE subscription = %s",
        reason,
        desk.now,
        desk.now,
        since_days,
        desk.now,
        id_,
    )


def tried(desk: LedgerDesk, clockwork: Clockwork) -> list[str]:
    """Which subscriptions a scan has set to be tried now."""
    clockwork.run(scan)
    found = desk.all(
        "SELECT subscription FROM subscription WHERE next_try_at = %s ORDER BY subscription", desk.now
    )
    return [id_ for (id_,) in found]
