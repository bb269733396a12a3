"""What the two ledgers of the product hold, and what jobs would do to them, alike for both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, replace
from datetime import date
from functools import cache
from typing import Any, Protocol

from ledger.billing import bill_id, issue, month_of
from ledger.numbers import number_of
from ledger.records import Bill, BillLine, Row, Subscription
from ledger.rows import KINDS
from tests.desk import Desk, LedgerDesk, PureDesk
from tests.ledger.machine.naive.ledger import NaiveLedger

ACCOUNTS = ("account", "payer", "sponsor", "set_by")


class Side(Protocol):
    """A ledger of the product. `keys`: of its transactions, in the order of posting; `numbers` are what people see."""

    desk: Desk
    keys: list[int]
    numbers: list[str]

    def rows(self, kinds: list[type[Row]]) -> dict[type[Row], list[Any]]:
        """The rows of this run."""

    def entries(self) -> dict[str, tuple[int, int]]:
        """The sum of each account's entries, and how many there are."""

    def learn(self) -> None:
        """Take in the transactions that were posted since."""

    def issue(self, model: NaiveLedger, account: str, month: date) -> None:
        """The bill of a month, if there is one."""

    def miss_payment(self, subscription: str, status: str) -> None:
        """What is done when a payment is refused."""


class PureSide:
    def __init__(self, desk: PureDesk) -> None:
        self.desk = desk
        self.keys: list[int] = []
        self.numbers: list[str] = []

    def rows(self, kinds: list[type[Row]]) -> dict[type[Row], list[Any]]:
        return {kind: list(self.desk.book._rows[kind].values()) for kind in kinds}

    def entries(self) -> dict[str, tuple[int, int]]:
        amounts: dict[str, list[int]] = defaultdict(list)
        for entry in self.desk.book.entries:
            if entry[1] > 0:
                amounts[self.desk.book.by_key(entry[1]).account].append(entry[3])
        return {id_: (sum(found), len(found)) for id_, found in amounts.items()}

    def learn(self) -> None:
        for key, time, *_ in self.desk.book.transactions[len(self.keys) :]:
            self.keys.append(key)
            self.numbers.append(number_of(key, time))

    def issue(self, model: NaiveLedger, account: str, month: date) -> None:
        """As the model has it: the bill that the product issues comes out of the database."""
        id_, book = bill_id(account, month), self.desk.book
        if id_ not in model.bills or book.get(Bill, id_):
            return
        holder = self.desk.account(account)
        begins, ends = month_of(month, holder["timezone"])
        made = model.bills[id_]
        book.put(
            Bill,
            id_,
            Bill(
                id_,
                holder["id"],
                f"{month:%Y-%m}",
                begins,
                ends,
                made.charged,
                made.refunded,
                "issued",
                self.desk.now,
            ),
        )
        for index, one in enumerate(model.postings):
            if one.bill == id_:
                book.put(BillLine, self.keys[index], BillLine(self.keys[index], id_, one.amount))

    def miss_payment(self, subscription: str, status: str) -> None:
        row = self.desk.book.get(Subscription, subscription)
        self.desk.book.put(
            Subscription, subscription, replace(row, status=status, past_due_since=self.desk.now)
        )


class LedgerSide:
    def __init__(self, desk: LedgerDesk, prefix: str) -> None:
        self.desk, self.prefix = desk, prefix
        self.keys: list[int] = []
        self.numbers: list[str] = []
        (self.last,) = desk.one("SELECT coalesce(max(id), 0) FROM transaction")

    def rows(self, kinds: list[type[Row]]) -> dict[type[Row], list[Any]]:
        connection = self.desk.connection
        with connection.pipeline():
            cursors = {
                kind: connection.execute(_rows(kind), (self.prefix, f"{self.prefix}~")) for kind in kinds
            }
        found = {kind: [kind(*row) for row in cursor] for kind, cursor in cursors.items()}
        connection.commit()
        return found

    def entries(self) -> dict[str, tuple[int, int]]:
        found = self.desk.all(_SUMS, self.prefix, f"{self.prefix}~")
        return {id_: (total, number) for id_, total, number in found}

    def learn(self) -> None:
        for key, time in self.desk.all(
            "SELECT id, time FROM transaction WHERE id > %s ORDER BY id", self.last
        ):
            self.keys.append(key)
            self.numbers.append(number_of(key, time))
            self.last = key

    def issue(self, model: NaiveLedger, account: str, month: date) -> None:
        issue(self.desk.connection, account, month, self.desk.now)
        self.desk.connection.commit()

    def miss_payment(self, subscription: str, status: str) -> None:
        self.desk.all(
            "UPDATE subscription SET status = %s, past_due_since = %s WHERE subscription = %s",
            status,
            self.desk.now,
            subscription,
        )


_SUMS = """
SELECT a.account, sum(e.amount)::bigint, count(*)
FROM account a JOIN entry e ON e.account = a.id
WHERE a.account >= %s AND a.account < %s
GROUP BY a.account"""


@cache
def _rows(kind: type[Row]) -> str:
    table = KINDS[kind]
    key = table.found_by[0]
    return f"SELECT {', '.join(table.names)} FROM {table.table} WHERE {key} >= %s AND {key} < %s"


def named(
    rows: list[Row], kind: type[Row], shape: type, ids: dict[int, str], keys: list[int]
) -> dict[Any, dict[str, Any]]:
    """Rows by their keys, with the fields that the model has too: accounts by their ids, transactions by their order."""
    order = {key: index for index, key in enumerate(keys)}
    names = _names(kind, shape)
    found = {}
    for row in rows:
        told = {name: getattr(row, name) for name in names}
        for name in ACCOUNTS:
            if told.get(name) is not None:
                told[name] = ids[told[name]]
        if told.get("transaction") is not None:
            told["transaction"] = order[told["transaction"]]
        found[KINDS[kind].key_of(row)] = told
    return found


def shown(one: Any, kind: type[Row]) -> dict[str, Any]:
    """What the model has, with the fields that the product's row has too."""
    return {name: getattr(one, name) for name in _names(kind, type(one))}


@cache
def _names(kind: type[Row], shape: type) -> list[str]:
    return [field.name for field in fields(shape) if field.name in KINDS[kind].names]
