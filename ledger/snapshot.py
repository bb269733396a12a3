"""Loads what a batch needs, locked: accounts in the order of their keys, then rows in the order of theirs.

What commands name by its id alone (an order, a hold, a transaction) is looked at beforehand, without a lock, to find out
whose it is; with the locks held it is loaded, and has to belong to those who were locked.

Who pays for a shared or sponsored account stands in its row (`draws_from`, `sponsor`), so that one statement can find
and lock everybody. Should it have changed while we waited for the lock, we start over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg

from ledger.arrays import columns, literal
from ledger.batch import Item
from ledger.book import Book
from ledger.decide import Wanted
from ledger.errors import BatchRaced, TooMuchAtOnce
from ledger.model import Account
from ledger.records import Row
from ledger.rows import KINDS, Leads, RowKind

_ATTEMPTS = 5
# Of what a hundred subscriptions pay for there may be 50,000 devices; with more, sessions would seem idle, and grow large.
MAX_ROWS = 50_000

_ACCOUNT_COLUMNS = """a.id, a.account, a.parent, a.path, a.kind, a.name, a.funding, a.state, a.credit, a.credit_limit,
       a.frozen, a.reference, a.version, a.posted_at, a.running, a.settled, a.notifications, a.draws_from, a.sponsor,
       a.email, a.boss_email, a.country, a.timezone, a.legal_name, a.tax_id, a.address, p.name, p.email"""

_NAMED = "SELECT id, draws_from, sponsor FROM account WHERE account = ANY(%s::text[])"

# Owners of what commands name by its id.
_NAMED_AND_OWNERS = f"""{_NAMED}
  UNION
  SELECT id, draws_from, sponsor FROM account WHERE id = ANY(%s::int8[])"""

# What a few commands need beyond: whole subtrees, and all that something stands under.
_NAMED_AND_MORE = f"""{_NAMED_AND_OWNERS}
  UNION
  SELECT id, draws_from, sponsor FROM account
  WHERE path && ARRAY(SELECT id FROM account WHERE account = ANY(%s::text[]))
  UNION
  SELECT id, draws_from, sponsor FROM account
  WHERE id = ANY(ARRAY(SELECT unnest(path) FROM account WHERE account = ANY(%s::text[])))"""

_LOCK = """
WITH named AS MATERIALIZED ({named})
SELECT {columns}
FROM account a JOIN account p ON p.id = a.parent
WHERE a.id IN (SELECT id FROM named UNION SELECT draws_from FROM named
               UNION SELECT sponsor FROM named WHERE sponsor IS NOT NULL)
ORDER BY a.id
FOR NO KEY UPDATE OF a"""

# Where the keys are known from before, which for accounts that trade is always.
LOCK_KEYS = f"""
SELECT {_ACCOUNT_COLUMNS}
FROM account a JOIN account p ON p.id = a.parent
WHERE a.id = ANY(%s::int8[])
ORDER BY a.id
FOR NO KEY UPDATE OF a"""
LOCK_NAMED = _LOCK.format(named=_NAMED, columns=_ACCOUNT_COLUMNS)
LOCK_NAMED_AND_OWNERS = _LOCK.format(named=_NAMED_AND_OWNERS, columns=_ACCOUNT_COLUMNS)
LOCK_NAMED_AND_MORE = _LOCK.format(named=_NAMED_AND_MORE, columns=_ACCOUNT_COLUMNS)

KEYS = """
SELECT k.item, c.fingerprint, c.reason, c.outcome
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS k(source, id, item)
JOIN command c ON c.source = k.source AND c.id = k.id"""

NEXT_KEYS = "SELECT nextval(%b::regclass) FROM generate_series(1, %b::int4)"


class Known(NamedTuple):
    """A key that is decided: what the content was, and the stored outcome."""

    fingerprint: bytes
    reason: str | None
    outcome: bytes


class Directory:
    """Which keys to lock for an account, as far as this session has seen them: the account, its master, its sponsor.

    Ids and keys never change; masters and sponsors may, and a key may come from a transaction that was rolled back. So
    what is remembered only says what to lock, and `learn` says whether that was right.
    """

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[str | int, tuple[int, ...]] = {}

    def keys(self, wanted: Wanted, owners: set[int]) -> list[int] | None:
        """All keys to be locked; None where something has to be looked up by its id."""
        if wanted.subtrees or wanted.lineages:
            return None
        found: set[int] = set()
        named: list[str | int] = [*wanted.accounts, *owners]
        for one in named:
            keys = self._keys.get(one)
            if keys is None:
                return None
            found.update(keys)
        return list(found)

    def learn(self, accounts: list[Account], by_key: Wanted | None) -> bool:
        """Remember what was locked. Whether it is everybody: all who pay, and all who were wanted `by_key`."""
        if len(self._keys) > _REMEMBERED:
            self._keys.clear()
        locked = {account.id for account in accounts}
        complete = True
        for one in accounts:
            keys = (one.id,) if one.draws_from == one.id else (one.id, one.draws_from)
            if one.sponsor is not None:
                keys = (*keys, one.sponsor)
            self._keys[one.account] = self._keys[one.id] = keys
            complete = complete and locked.issuperset(keys)
        if by_key is not None and not by_key.accounts.issubset(one.account for one in accounts):
            self._keys.clear()
            return False
        return complete


_REMEMBERED = 400_000
_directories: WeakKeyDictionary[psycopg.Connection[Any], Directory] = WeakKeyDictionary()


class Snapshot(NamedTuple):
    book: Book
    known: dict[tuple[str, str], Known]


def load(
    connection: psycopg.Connection[Any],
    items: Sequence[Item],
    wanted: Wanted,
    never_keys: Iterator[int] | None = None,
) -> Snapshot:
    """Everything that is wanted for the items, locked until the transaction ends. Raises BatchRaced, TooMuchAtOnce.

    What is wanted for no item is brought in all the same, with whoever it belongs to. `never_keys`: for what is tried and
    never stored; then nothing is locked, and no sequence is moved.
    """
    owners = _look(connection, wanted)
    if len(items) > 1 and sum(map(len, wanted.rows.values())) > MAX_ROWS:
        raise TooMuchAtOnce(f"{len(items)} commands want more than {MAX_ROWS:,} rows")
    directory = _directories.setdefault(connection, Directory())
    before: list[int] | None = None
    for _ in range(_ATTEMPTS):
        keys = directory.keys(wanted, owners)
        loaded = _load(connection, items, wanted, owners, keys, lock=never_keys is None)
        accounts = [Account(*row) for row in loaded.accounts]
        locked = [account.id for account in accounts]
        # Who stands under an account is looked up before it is locked: with the lock, nobody comes or goes anymore.
        settled = not wanted.subtrees or locked == before
        if directory.learn(accounts, wanted if keys is not None else None) and settled:
            break
        before = locked
    else:
        raise BatchRaced("the accounts that pay kept changing while they were being locked")
    book = Book(
        accounts,
        transaction_keys=never_keys or iter(loaded.transaction_keys),
        account_keys=never_keys or iter(loaded.account_keys),
    )
    for kind, rows in loaded.rows.items():
        key_of = KINDS[kind].key_of
        for row in rows:
            book.put(kind, key_of(row), row)
    _check(loaded.rows, locked=set(locked), wanted=wanted)
    known = {
        (items[item - 1].event.source, items[item - 1].event.id): Known(fingerprint, reason, outcome.encode())
        for item, fingerprint, reason, outcome in loaded.known
    }
    return Snapshot(book, known)


class _Loaded(NamedTuple):
    accounts: list[Any]
    known: list[Any]
    rows: dict[type[Row], list[Any]]
    transaction_keys: list[int]
    account_keys: list[int]


def _load(
    connection: psycopg.Connection[Any],
    items: Sequence[Item],
    wanted: Wanted,
    owners: set[int],
    keys: list[int] | None,
    *,
    lock: bool,
) -> _Loaded:
    statement, values = _of_accounts(wanted, owners, keys)
    with connection.pipeline():
        accounts = _cursor(connection)
        accounts.execute(statement if lock else unlocked(statement), values, prepare=True)
        # After the locks are held, so that whoever held them before us has left their keys and rows to be found.
        known = _cursor(connection)
        if items:
            known.execute(KEYS, columns(item.key for item in items), prepare=True)
        rows = _asked(connection, wanted.rows, lock=lock)
        transactions = len(items) + wanted.two_transactions
        transaction_keys = _next(connection, "transaction_key", transactions) if lock else None
        account_keys = (
            _next(connection, "account_key", wanted.new_accounts) if wanted.new_accounts and lock else None
        )
        return _Loaded(
            accounts.fetchall(),
            known.fetchall() if items else [],
            _fetched(rows),
            [key for (key,) in transaction_keys.fetchall()] if transaction_keys else [],
            [key for (key,) in account_keys.fetchall()] if account_keys else [],
        )


def _of_accounts(wanted: Wanted, owners: set[int], keys: list[int] | None) -> tuple[str, list[str]]:
    """The statement that locks the accounts, and its arrays: the simplest one that finds them all."""
    if keys is not None:
        return LOCK_KEYS, [literal(keys)]
    if wanted.subtrees or wanted.lineages:
        some = (wanted.accounts, owners, wanted.subtrees, wanted.lineages)
        return LOCK_NAMED_AND_MORE, [literal(sorted(one)) for one in some]
    if owners:
        return LOCK_NAMED_AND_OWNERS, [literal(sorted(wanted.accounts)), literal(sorted(owners))]
    return LOCK_NAMED, [literal(list(wanted.accounts))]


@cache
def unlocked(statement: str) -> str:
    """The same statement for those who only look."""
    return re.sub(r"\s+FOR NO KEY UPDATE OF \w+", "", statement)


def _next(connection: psycopg.Connection[Any], sequence: str, number: int) -> psycopg.Cursor[Any]:
    cursor = _cursor(connection)
    cursor.execute(NEXT_KEYS, (sequence, number), prepare=True)
    return cursor


def _look(connection: psycopg.Connection[Any], wanted: Wanted) -> set[int]:
    """Whom what is named by its id belongs to. What it leads to is added to `wanted`. Nothing is locked."""
    owners: set[int] = set()
    seen: dict[type[Row], set[Hashable]] = {}
    while True:
        new = {
            kind: unseen
            for kind, keys in wanted.rows.items()
            if KINDS[kind].looked_at_first and (unseen := keys - seen.get(kind, set()))
        }
        if not new:
            return owners
        with connection.pipeline():
            found = _fetched(_asked(connection, new, lock=True))
        for kind, keys in new.items():
            seen.setdefault(kind, set()).update(keys)
        for spec, row in _each(found):
            owners.update(_owners(spec, row))
            for kind, key in _leads(spec, row):
                wanted.row(kind, key)


def _check(rows: dict[type[Row], list[Any]], *, locked: set[int], wanted: Wanted) -> None:
    """Whether all that was loaded is guarded, and all that it leads to is there. Raises BatchRaced."""
    for kind, row in _each(rows):
        if not locked.issuperset(_owners(kind, row)) or any(
            key not in wanted.rows[other] for other, key in _leads(kind, row)
        ):
            raise BatchRaced("what a command names by its id came or changed before it could be locked")


def _each(rows: dict[type[Row], list[Any]]) -> Iterator[tuple[RowKind, Any]]:
    for kind, found in rows.items():
        spec = KINDS[kind]
        if spec.looked_at_first:
            for row in found:
                yield spec, row


def _owners(kind: RowKind, row: Any) -> set[int]:
    return {key for key in kind.owners(row) if key is not None} if kind.owners else set()


def _leads(kind: RowKind, row: Any) -> Leads:
    return kind.leads(row) if kind.leads else ()


def _asked(
    connection: psycopg.Connection[Any], rows: Mapping[type[Row], Collection[Any]], *, lock: bool
) -> dict[type[Row], psycopg.Cursor[Any]]:
    """A statement for each kind of row, queued on the connection's pipeline, always in the same order of kinds."""
    cursors = {}
    for kind, spec in KINDS.items():
        if keys := rows.get(kind):
            cursors[kind] = _cursor(connection)
            statement = spec.load if lock else unlocked(spec.load)
            cursors[kind].execute(statement, _keys(keys), prepare=True)
    return cursors


def _fetched(cursors: dict[type[Row], psycopg.Cursor[Any]]) -> dict[type[Row], list[Any]]:
    return {
        kind: [(KINDS[kind].made or kind)(*row) for row in cursor.fetchall()]
        for kind, cursor in cursors.items()
    }


def _cursor(connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    return connection.cursor(binary=True)


def _keys(keys: Iterable[Any]) -> list[str]:
    """Keys as one array for each of their parts."""
    listed = list(keys)
    return columns(listed) if isinstance(listed[0], tuple) else [literal(listed)]
