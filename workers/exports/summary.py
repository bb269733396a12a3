"""What the first sheet says: whose list, what was chosen, credit before and after, totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.queries.balance import balance, credits_by_unit
from ledger.queries.chosen import Chosen, is_chosen, statement_filter
from ledger.queries.named import Named
from ledger.queries.times import span_of
from workers.exports.reports import LISTS, PAID_BY_OTHERS, Totals
from workers.exports.request import Request

_DAYS = ("from", "to")


Fact = tuple[str, str | int | datetime]
"""A label and a value. A time is one in the list's zone, which its label names."""


class Group(NamedTuple):
    """How many rows there are of it, and the sums of the amounts that are totalled."""

    name: str
    rows: int
    sums: tuple[int, ...]


class Section(NamedTuple):
    name: str
    groups: list[Group]


class Credit(NamedTuple):
    """Of one unit: before the first moment of the period, and at its end."""

    unit: str
    opening: int
    closing: int


@dataclass(frozen=True, slots=True)
class Summary:
    """by, summed: what the sections' groups are, and which columns their sums are of."""

    title: str
    facts: list[Fact]
    credits: list[Credit]
    sections: list[Section]
    by: str = ""
    summed: tuple[str, ...] = ()


class Tally:
    """Counts rows, and totals them as they pass."""

    def __init__(self, row: type, totals: Totals | None) -> None:
        self.rows = 0
        self._totals = totals
        fields: Sequence[str] = row._fields  # type: ignore[attr-defined]
        self._summed = [fields.index(name) for name in totals.summed] if totals else []
        self._sums: dict[tuple[str, str], list[int]] = {}

    def add(self, row: Any) -> None:
        self.rows += 1
        if self._totals is None:
            return
        group = self._totals.group_of(row)
        sums = self._sums.get(group)
        if sums is None:
            sums = self._sums[group] = [0] * (1 + len(self._summed))
        sums[0] += 1
        for place, field in enumerate(self._summed, 1):
            sums[place] += row[field] or 0

    def sections(self) -> list[Section]:
        found: dict[str, list[Group]] = {}
        for (section, group), (rows, *sums) in sorted(self._sums.items()):
            found.setdefault(section, []).append(Group(group, rows, tuple(sums)))
        return [Section(name, groups) for name, groups in found.items()]


def title_of(request: Request) -> str:
    """The title asked for, else one of the report and the account."""
    return request.title or LISTS[request.report].title + (
        f" of {request.account}" if request.account else ""
    )


def summary_of(request: Request, root: Named | None, zone: str, now: datetime, tally: Tally) -> Summary:
    """The summary of a list that was read to its end; the credits of a statement are to be added."""
    totals = LISTS[request.report].totals
    return Summary(
        title_of(request),
        [
            *([("account", root.account), ("name", root.name)] if root else []),
            ("list", str(request.report)),
            *_chosen(request.filters),
            (f"generated at ({zone})", now),
            ("times in", zone),
            ("rows", tally.rows),
        ],
        [],
        tally.sections(),
        totals.by if totals else "",
        totals.summed if totals else (),
    )


def _chosen(filters: Chosen) -> list[Fact]:
    since, until = (filters.get(name) for name in _DAYS)
    period = [("period", f"{since or 'the beginning'} to {until or 'now'}")] if since or until else []
    others = [
        (f"filter: {name}", _shown(value))
        for name, value in filters.items()
        if is_chosen(value) and name not in _DAYS
    ]
    return [*period, *(others or [("filters", "none")])]


def _shown(value: Any) -> str | int:
    match value:
        case bool():
            return "yes"
        case int() | str():
            return value
        case _:
            return ", ".join(value)


def credits_of(
    connection: psycopg.Connection[Any], request: Request, root: Named
) -> tuple[list[Credit], list[Fact]]:
    """Opening and closing credit of a statement, of each unit, and what else there is to say about them.

    Of a whole subtree it is the credit of all its accounts together. A shared account has none of its own.
    """
    chosen = statement_filter(request.filters)
    since, before = span_of(chosen.since, chosen.until, root.timezone)
    closing = credits_by_unit(connection, root, subtree=chosen.subtree, before=before)
    opening = (
        credits_by_unit(connection, root, subtree=chosen.subtree, before=since) if since is not None else {}
    )
    figures = balance(connection, root.account)
    units = {*opening, *closing}
    if not units and figures.funding != "shared":
        units = {"allotment" if figures.funding == "sponsored" else "coin"}
    credits = [Credit(unit, opening.get(unit, 0), closing.get(unit, 0)) for unit in sorted(units)]
    return credits, _about_credit(chosen.subtree, request.filters, figures.draws_from)


def _about_credit(subtree: bool, filters: Chosen, master: str | None) -> list[Fact]:
    said: list[Fact] = []
    if subtree:
        said.append(("credit", "of the account and everything below it together"))
    if master is not None:
        said.append(("credit", f"none of its own: it draws on the coins of {master} ({PAID_BY_OTHERS})"))
    narrowed = [
        name for name, value in filters.items() if is_chosen(value) and name not in (*_DAYS, "subtree")
    ]
    if narrowed:
        said.append(("opening and closing", "of everything in the period, whatever the filters leave out"))
    return said
