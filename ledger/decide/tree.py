"""Where an account may stand, and where its coins come from (CONTRACT §2)."""

from __future__ import annotations

from typing import NamedTuple

from ledger.model import PLATFORM, PLATFORM_ID, Account, State

_UNDER = {
    "distributor": {PLATFORM},
    "reseller": {PLATFORM, "distributor"},
    "enterprise": {PLATFORM},
    "agent": {"enterprise", "agent", "branch", "reseller", "distributor"},
    "branch": {"enterprise", "agent", "branch", "reseller", "distributor"},
    "customer": {"reseller", "distributor", "agent"},
}


class Source(NamedTuple):
    """Where coins come from: the account that is drawn on, and the sponsor where there is one."""

    draws_from: int
    sponsor: int | None


def may_stand_under(kind: str, parent: Account) -> bool:
    return parent.kind in _UNDER[kind]


def source_of(account_id: int, funding: str, parent: Account) -> Source | None:
    """Where an account of this funding under this parent has its coins from; None where that is not allowed."""
    match funding:
        case "own":
            return Source(account_id, None)
        case "shared" if parent.id != PLATFORM_ID and parent.funding != "sponsored":
            return Source(parent.draws_from, None)
        case "sponsored" if parent.kind in ("reseller", "distributor") and parent.funding == "own":
            # Under a second-level reseller its distributor is the sponsor.
            return Source(account_id, parent.id if parent.parent == PLATFORM_ID else parent.parent)
        case _:
            return None


def resettled(
    account: Account, source: Source, funding: str, descendants: list[Account]
) -> dict[int, Source] | None:
    """The descendants' sources once the account's funding has changed; None where one of them could not stand so.

    `descendants` in the order of the tree, parents first. A closed one is never in the way.
    """
    now_at: dict[int, tuple[str, Source]] = {account.id: (funding, source)}
    for one in descendants:
        parent_funding, parent_source = now_at[one.parent]
        if one.funding == "shared":
            if parent_funding == "sponsored" and one.state != State.CLOSED:
                return None
            found = Source(parent_source.draws_from, None)
        else:
            if one.funding == "sponsored" and parent_funding != "own" and one.state != State.CLOSED:
                return None
            found = Source(one.draws_from, one.sponsor)
        now_at[one.id] = (one.funding, found)
    return {one.id: now_at[one.id][1] for one in descendants}
