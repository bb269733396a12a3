"""What the system says after the day, and everything in it that is not as it must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deploy.demo.producing import Producers
from deploy.demo.story import Expected
from deploy.demo.telling import Telling
from deploy.demo.telling import mismatches as told_otherwise
from ledger.queries.accounts import AccountRow, accounts
from ledger.queries.balance import Balance, balance
from ledger.queries.reading import connected, snapshot
from ledger.queries.statement import StatementLine, statement
from ledger.verify import Verification, verify

SHOWN_ACCOUNT = "atlantico"
SHOWN_LINES = 6
MOST_ACCOUNTS = 1_000

_DEAD = """
SELECT g.reason, g.type, sum(d.count)::bigint, (array_agg(d.why ORDER BY d.id))[1],
       (array_agg(d.raw ORDER BY d.id))[1], count(*) FILTER (WHERE d.state = 'resolved')
FROM dead_letter d JOIN dead_letter_group g ON g.id = d.group_id
GROUP BY g.reason, g.type, split_part(d.why, ':', 1)
ORDER BY g.reason DESC, 3 DESC, g.type, 4"""
_DEVICES = "SELECT count(*) FROM device WHERE account IS NOT NULL"
_ORDERS = "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status"


class DeadLetters(NamedTuple):
    """Letters of a kind, with one of them as an example."""

    reason: str
    type: str | None
    letters: int
    why: str
    raw: bytes
    resolved: int


class Row(NamedTuple):
    """An account in the tree; `draws_from` of a shared one, `sponsor` of a sponsored one."""

    account: AccountRow
    draws_from: str | None
    sponsor: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that is shown, and compared with what was expected."""

    accounts: list[Row]
    statement: list[StatementLine]
    timezone: str
    dead: list[DeadLetters]
    devices: int
    orders: dict[str, int]
    verification: Verification


def find(database_url: str) -> Findings:
    """Ask the ledger, by the ways that operators have. Raises LedgerError."""
    with connected(database_url, name="demo") as connection:
        with snapshot(connection):
            rows = accounts(connection, limit=MOST_ACCOUNTS).rows
            tree = [_row(row, balance(connection, row.account)) for row in rows]
            page = (
                statement(connection, SHOWN_ACCOUNT, limit=SHOWN_LINES)
                if any(row.account == SHOWN_ACCOUNT for row in rows)
                else None
            )
            dead = [DeadLetters(*row) for row in connection.execute(_DEAD).fetchall()]
            counted = connection.execute(_DEVICES).fetchone()
            orders = dict(connection.execute(_ORDERS).fetchall())
        return Findings(
            accounts=tree,
            statement=page.rows if page else [],
            timezone=page.timezone if page else "UTC",
            dead=dead,
            devices=counted[0] if counted else 0,
            orders=orders,
            verification=verify(connection),
        )


def _row(account: AccountRow, figures: Balance) -> Row:
    return Row(account, figures.draws_from, figures.sponsor)


def mismatches(expected: Expected, producers: Producers, telling: Telling, findings: Findings) -> list[str]:
    """Each thing that does not add up, in words; none where all is well."""
    wrong = _not_answered_once(producers)
    wrong += told_otherwise(expected.told, expected.looks, telling)
    wrong += _differing("outcomes of {}", expected.outcomes, producers.counts(duplicate=False))
    wrong += _differing("outcomes of repeated {}", expected.duplicates, producers.counts(duplicate=True))
    wrong += _differing("dead letters: {}", expected.dead_letters, _dead_by_reason(findings))
    wrong += _differing("{}", _totals_of(expected), _totals_found(findings))
    wrong += _differing("the credit of {}", *_figures(expected, findings, "credit"))
    wrong += _differing("the credit limit of {}", *_figures(expected, findings, "credit_limit"))
    wrong += _differing("what is frozen at {}", *_figures(expected, findings, "frozen"))
    wrong += _differing("orders that are {}", expected.orders, findings.orders)
    wrong += [
        f"verification: {one.what}: {one.where} should be {one.expected}, is {one.found}"
        for one in findings.verification.differences
    ]
    return wrong


def _not_answered_once(producers: Producers) -> list[str]:
    wrong = []
    answered = producers.answered()
    for key in sorted(producers.sent.keys() | answered.keys()):
        if producers.sent[key] != answered[key]:
            name = " ".join(key)
            wrong.append(f"{name}: delivered {producers.sent[key]} times, {answered[key]} outcomes")
    wrong += [f"{' '.join(key)}: applied more than once" for key in producers.applied_twice()]
    return wrong


def _differing(what: str, expected: dict[str, int], found: dict[str, int]) -> list[str]:
    return [
        f"{what.format(name)}: {expected.get(name, 0):,} expected, {found.get(name, 0):,} found"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name, 0) != found.get(name, 0)
    ]


def _dead_by_reason(findings: Findings) -> dict[str, int]:
    counted: dict[str, int] = {}
    for one in findings.dead:
        counted[one.reason] = counted.get(one.reason, 0) + one.letters
    return counted


def _totals_of(expected: Expected) -> dict[str, int]:
    return {
        "dead letters resolved": expected.dead_letters_resolved,
        "active devices": expected.devices,
        "transactions": expected.transactions,
        "accounts": len(expected.balances),
    }


def _totals_found(findings: Findings) -> dict[str, int]:
    return {
        "dead letters resolved": sum(one.resolved for one in findings.dead),
        "active devices": findings.devices,
        "transactions": findings.verification.checked["transaction"],
        "accounts": len(findings.accounts),
    }


def _figures(expected: Expected, findings: Findings, name: str) -> tuple[dict[str, int], dict[str, int]]:
    return (
        {account: figures[name] for account, figures in expected.balances.items()},
        {row.account.account: getattr(row.account, name) for row in findings.accounts},
    )
