"""Tampering that keeps the books consistent: whoever has the database can make entries agree with each other again.

What was said at the time stands in other places, too: the message, the outcome, the receipt, the letter. Each tampering
has a name, what is written, and the checks that must notice; the triggers do not fire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ledger.database import connect
from ledger.receipts import issue as issue_receipts
from ledger.verify import verify
from tests import builders as a
from tests.desk import SOURCE, LedgerDesk
from tests.ledger.test_verify import Tampering, Undone, found_by

TABLES = (
    "account",
    "transaction",
    "entry",
    "command",
    "device",
    "recharge_reference",
    "returned",
    "receipt",
    "receipt_due",
    "receipt_series",
    "hold",
    "resource",
    "dead_letter",
    "batch",
)


def fill(desk: LedgerDesk) -> None:
    """Two enterprises, each of which paid in and bought something, holds, and a letter that was mended."""
    desk.do(a.enterprise(), a.enterprise("mallory"), a.branch())
    desk.ask(a.top_up("acme", 1_000), id="recharge")
    desk.ask(a.top_up("mallory", 1_000), id="theirs")
    desk.ask(a.onboarding("acme", "d1", price=30), id="small")
    desk.ask(a.onboarding("acme", "d2", "d3", price=20), id="large")
    desk.do(a.plan("pro", "onboarding", price=70))
    desk.ask(a.onboarding("acme", "d4", plan="pro", price=None), id="by plan")
    desk.ask(a.transfer("acme", "north", 100), id="transfer")
    desk.ask(a.limit("acme", 10), id="limit")
    desk.do(a.hold("h1", "acme", 50), a.activation("r1", "acme", estimate=40), a.usage("r1", 15))
    desk.refused({"type": "TopUp", "id": "mended", "source": SOURCE, "data": {"account": "acme"}})
    desk.ask(a.top_up("acme", 1), id="mended")
    desk.refused({"type": "TopUp", "id": "not mended", "source": SOURCE, "data": {"account": "acme"}})
    with desk.connection.transaction():
        due = [number for (number,) in desk.connection.execute("SELECT transaction FROM receipt_due")]
        issue_receipts(desk.connection, due, desk.now)
    desk.later(minutes=1)
    desk.ask(a.onboarding("acme", "d9", price=5), id="last")


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[Tampering]:
    """A ledger whose triggers do not fire, so that everything can be changed."""
    desk = LedgerDesk(module_database_url)
    fill(desk)
    desk.close()
    connection = connect(module_database_url, name="test verify")
    connection.execute("SET session_replication_role = replica")
    yield connection
    connection.close()


def of(id_: str) -> str:
    """The transaction of a command."""
    return f"(SELECT transaction FROM command WHERE id = '{id_}')"


ACME, MALLORY = (f"(SELECT id FROM account WHERE account = '{id_}')" for id_ in ("acme", "mallory"))


def made_smaller(id_: str, by: int) -> list[str]:
    """A charge on acme, in everything that is added up: both sides, every later balance, the account."""
    return [
        f"UPDATE entry SET amount = amount + {by} WHERE transaction = {of(id_)} AND account > 0",
        f"UPDATE entry SET amount = amount - {by} WHERE transaction = {of(id_)} AND account < 0",
        f"UPDATE entry SET balance = balance + {by} WHERE account = {ACME} AND transaction >= {of(id_)}",
        f"UPDATE account SET credit = credit + {by} WHERE id = {ACME}",
    ]


def outcomes_put_right(by: int, since: str) -> list[str]:
    """And the credit that every outcome told since then."""
    figure = '\'{"account":"acme","credit":\' || '
    return [
        f"UPDATE command c SET outcome = replace(c.outcome, {figure} e.balance - {by} || ',', "
        f"{figure} e.balance || ',') FROM entry e "
        f"WHERE e.transaction = c.transaction AND e.account = {ACME} AND e.transaction >= {of(since)}"
    ]


LAST = [
    f"UPDATE account a SET credit = credit - e.amount, version = a.version - 1, posted_at = (SELECT max(time) FROM entry "
    f"WHERE account = a.id AND transaction < {of('last')}) FROM entry e "
    f"WHERE e.account = a.id AND e.transaction = {of('last')} AND a.id = {ACME}",
    f"DELETE FROM entry WHERE transaction = {of('last')}",
    f"DELETE FROM transaction WHERE id = {of('last')}",
    "DELETE FROM device WHERE device = 'd9'",
    "DELETE FROM command WHERE id = 'last'",
]
MOVED = [
    # Mallory gets what acme paid in, and the other way round; out of the way of each other's version
    f"UPDATE entry SET version = 101 WHERE account > 0 AND transaction = {of('theirs')}",
    f"UPDATE entry SET account = CASE account WHEN {ACME} THEN {MALLORY} ELSE {ACME} END, "
    f"top = CASE top WHEN {ACME} THEN {MALLORY} ELSE {ACME} END "
    f"WHERE account > 0 AND transaction IN ({of('recharge')}, {of('theirs')})",
    f"UPDATE entry e SET top = (SELECT own.top FROM entry own WHERE own.transaction = e.transaction AND own.account > 0) "
    f"WHERE e.account < 0 AND transaction IN ({of('recharge')}, {of('theirs')})",
    f"UPDATE transaction t SET account = (SELECT e.account FROM entry e WHERE e.transaction = t.id AND e.account > 0), "
    f"top = (SELECT e.top FROM entry e WHERE e.transaction = t.id AND e.account > 0) "
    f"WHERE t.id IN ({of('recharge')}, {of('theirs')})",
    "UPDATE entry SET version = 1 WHERE version = 101",
]


class Tampered(NamedTuple):
    """What somebody does to the tables, and the checks that must notice, no others."""

    name: str
    statements: list[str]
    checks: set[str]


TAMPERINGS = [
    Tampered(
        "a charge made smaller, with both sides, later balances and the account",
        made_smaller("small", 10),
        {"figures_told", "message"},
    ),
    Tampered(
        "and with the outcomes",
        [*made_smaller("small", 10), *outcomes_put_right(10, "small")],
        {"message"},
    ),
    Tampered(
        "a charge by a plan made smaller in everything that is added up",
        made_smaller("by plan", 10),
        {"figures_told"},
    ),
    Tampered("the last charge, with its command, as if it had never been", LAST, {"message"}),
    Tampered("two recharges change their accounts", MOVED, {"figures_told", "message", "receipts"}),
    Tampered(
        "the key of a refused command, so that it can be tried again",
        ["DELETE FROM command WHERE id = 'limit'"],
        {"message"},
    ),
    Tampered(
        "a key that is called otherwise, so that it can be charged again",
        [
            f"UPDATE transaction SET command_id = 'other' WHERE id = {of('small')}",
            "UPDATE command SET id = 'other' WHERE id = 'small'",
        ],
        {"message"},
    ),
    Tampered(
        "a fingerprint, so that the same command is taken for another",
        ["UPDATE command SET fingerprint = sha256('x') WHERE id = 'small'"],
        {"message"},
    ),
    Tampered(
        "the figures of two outcomes exchanged",
        [
            "UPDATE command c SET outcome = split_part(c.outcome, ',\"accounts\":', 1) || ',\"accounts\":' || "
            "split_part(other.outcome, ',\"accounts\":', 2) FROM command other "
            "WHERE (c.id, other.id) IN (('small', 'large'), ('large', 'small'))"
        ],
        {"figures_told"},
    ),
    Tampered(
        "figures of another account in an outcome",
        [
            'UPDATE command SET outcome = replace(outcome, \'"account":"acme"\', \'"account":"mallory"\') '
            "WHERE id = 'small'"
        ],
        {"figures_told"},
    ),
    Tampered(
        "what a hold still holds, together with what is frozen",
        [
            "UPDATE hold SET remaining = remaining - 5 WHERE hold = 'h1'",
            f"UPDATE account SET frozen = frozen - 5 WHERE id = {ACME}",
        ],
        {"message"},
    ),
    Tampered(
        "what a resource still holds, together with what is frozen",
        [
            "UPDATE resource SET remaining = remaining - 5",
            f"UPDATE account SET frozen = frozen - 5 WHERE id = {ACME}",
        ],
        {"remaining"},
    ),
    Tampered(
        "what is printed on a receipt",
        [
            "UPDATE receipt SET content = replace(content, '\"amount\":1000,', '\"amount\":9000,') WHERE amount = 1000"
        ],
        {"printed"},
    ),
    Tampered(
        "the transactions of two receipts exchanged",
        [
            "UPDATE receipt SET transaction = -transaction WHERE number LIKE 'acme%'",
            "UPDATE receipt r SET transaction = (SELECT max(-x.transaction) + min(-x.transaction) FROM receipt x "
            "WHERE x.number LIKE 'acme%') + r.transaction WHERE r.number LIKE 'acme%'",
        ],
        {"printed", "receipts"},
    ),
    Tampered(
        "a letter put aside as resolved whose command was never decided",
        ["UPDATE dead_letter SET state = 'resolved' WHERE command_id = 'not mended'"],
        {"letters"},
    ),
    Tampered(
        "the message itself, as it came in",
        [
            "UPDATE batch SET bodies = replace(encode(bodies, 'escape'), '\"price\":30', '\"price\":20')::bytea "
            "WHERE position('\"price\":30'::bytea IN bodies) > 0"
        ],
        {"message"},
    ),
]


def test_a_sound_ledger_has_no_difference(filled: Tampering) -> None:
    assert verify(filled).differences == []


@pytest.mark.parametrize("tampered", TAMPERINGS, ids=lambda tampered: tampered.name)
def test_consistent_tampering_is_noticed(filled: Tampering, tampered: Tampered) -> None:
    with Undone(filled, "SELECT 1", TABLES):
        with filled.transaction():
            assert all(filled.execute(statement).rowcount for statement in tampered.statements)
        result = verify(filled)

    assert found_by(result).keys() == tampered.checks


def test_a_number_of_a_receipt_that_was_used_twice_is_noticed(
    own_desk: LedgerDesk, own_database_url: str
) -> None:
    fill(own_desk)
    with connect(own_database_url, name="test verify") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "ALTER TABLE receipt DROP CONSTRAINT receipt_top_year_seq_key, DROP CONSTRAINT receipt_pkey"
        )
        connection.execute(
            "UPDATE receipt SET seq = 1, number = 'acme-2026-000001' WHERE number = 'acme-2026-000002'"
        )

        found = found_by(verify(connection))

    assert found.keys() == {"printed", "receipts"}
    assert ("receipt acme-2026-000001", "number 2 of its series", "number 1") in found["receipts"]
