"""Fragments of SQL about entries and transactions that several queries are built from."""

from __future__ import annotations

from ledger.queries.times import Span

# The number of transaction `t`, as `ledger.numbers.number_of` writes it.
NUMBER = (
    "'T-' || to_char(t.time AT TIME ZONE 'UTC', 'YYYY') || '-' "
    "|| lpad(t.id::text, greatest(10, length(t.id::text)), '0')"
)

_IN_NUMBERS = frozenset("Tt-0123456789")

_FEW = 100

_NARROWED = """CASE WHEN {account}.version <= {few} THEN {unnarrowed} ELSE (
    WITH RECURSIVE narrowed(low, high) AS (
      SELECT 0::bigint, {account}.version
      UNION ALL
      SELECT CASE WHEN middle.time < {moment} THEN middle.version ELSE low END,
             CASE WHEN middle.time < {moment} THEN high ELSE middle.version - 1 END
      FROM narrowed
      JOIN entry middle ON middle.account = {account}.id AND middle.account > 0
                       AND middle.version = (low + high + 1) / 2
      WHERE high - low > {few})
    SELECT {bound} FROM narrowed) END"""


def may_be_number(text: str) -> bool:
    """Whether the text could stand in a transaction's number: else no number has to be looked at."""
    return _IN_NUMBERS.issuperset(text)


def versions_up_to(moment: str, account: str = "s") -> str:
    """No entry of the account before `moment` has a higher version; up to a hundred later ones may have a lower one.

    There is no index by account and time, and none is needed: versions count from 1 without gaps and times never fall
    from one to the next, so halving finds the place in some twenty look-ups. It stops at a hundred: whoever asks
    compares the times of what is left anyhow, and a small account costs no look-up at all.

    `account` is the alias of the account's row, which has to be outside of the query that the bound stands in
    (LATERAL): there it is computed once, beside it once for every entry.
    """
    return _NARROWED.format(
        account=account, moment=moment, few=_FEW, bound="min(high)", unnarrowed=f"{account}.version"
    )


def within(span: Span) -> list[str]:
    """Bounds for the versions of the account's row `s`: what lies outside of the span is not looked at."""
    bounds = []
    if span.before is not None:
        bounds.append(f"e.version <= {versions_up_to('%(before)s')}")
    if span.since is not None:
        bounds.append(f"e.version > {versions_before('%(since)s')}")
    return bounds


def versions_before(moment: str, account: str = "s") -> str:
    """Every entry up to this version lies before `moment`."""
    return _NARROWED.format(account=account, moment=moment, few=_FEW, bound="max(low)", unnarrowed="0")
