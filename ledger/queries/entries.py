"""Fragments of SQL about entries that several queries are built from."""

from __future__ import annotations

# The number of transaction `t`, as `ledger.numbers.number_of` writes it.
NUMBER = (
    "'T-' || to_char(t.time AT TIME ZONE 'UTC', 'YYYY') || '-' "
    "|| lpad(t.id::text, greatest(10, length(t.id::text)), '0')"
)

_NARROWED = """(
    WITH RECURSIVE narrowed(low, high) AS (
      SELECT 0::bigint, {account}.version
      UNION ALL
      SELECT CASE WHEN middle.time < {moment} THEN middle.version ELSE low END,
             CASE WHEN middle.time < {moment} THEN high ELSE middle.version - 1 END
      FROM narrowed
      JOIN entry middle ON middle.account = {account}.id AND middle.account > 0
                       AND middle.version = (low + high + 1) / 2
      WHERE high - low > 100)
    SELECT {bound} FROM narrowed)"""


def versions_up_to(moment: str, account: str = "s") -> str:
    """No entry of the account before `moment` has a higher version; up to a hundred later ones may have a lower one.

    There is no index by account and time, and none is needed: versions count from 1 without gaps and times never fall
    from one to the next, so halving finds the place in some twenty look-ups. It stops at a hundred: whoever asks
    compares the times of what is left anyhow, and a small account costs no look-up at all.
    """
    return _NARROWED.format(account=account, moment=moment, bound="min(high)")


def versions_before(moment: str, account: str = "s") -> str:
    """Every entry up to this version lies before `moment`."""
    return _NARROWED.format(account=account, moment=moment, bound="max(low)")
