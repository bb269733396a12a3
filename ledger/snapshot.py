"""Loads what a batch needs, locked: accounts in the order of their keys, then rows in the order of theirs.

Who pays for a shared or sponsored account stands in its row (`draws_from`, `sponsor`), so that one statement can find
and lock everybody. Should it have changed while we waited for the lock, we start over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg

from ledger.arrays import columns, literal
from ledger.batch import Item
from ledger.book import Book
from ledger.decide import Wanted
from ledger.errors import BatchRaced
from ledger.model import Account, PastTransaction, RechargeReference
from ledger.rows import KINDS, PAST_TRANSACTIONS

_ATTEMPTS = 5

_ACCOUNT_COLUMNS = """a.id, a.account, a.parent, a.path, a.kind, a.name, a.funding, a.state, a.credit, a.credit_limit,
       a.frozen, a.reference, a.version, a.posted_at, a.draws_from, a.sponsor, a.email, a.boss_email, a.country,
       a.timezone, a.legal_name, a.tax_id, a.address, p.name, p.email"""

_NAMED = "SELECT id, draws_from, sponsor FROM account WHERE account = ANY(%s::text[])"

# What a few commands need beyond the accounts that they name: owners of what they name, whole subtrees.
_NAMED_AND_MORE = f"""{_NAMED}
  UNION
  SELECT id, draws_from, sponsor FROM account WHERE id = ANY(%s::int8[])
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
    """Which keys to lock for an account's id, as far as this session has seen them: the account, its master, its sponsor.

    Ids and keys never change; masters and sponsors may, and a key may come from a transaction that was rolled back. So
    what is remembered only says what to lock, and `learn` says whether that was right.
    """

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[str, tuple[int, ...]] = {}

    def keys(self, wanted: Wanted, owners: set[int]) -> list[int] | None:
        """All keys to be locked; None where something has to be looked up by its id."""
        if wanted.subtrees or wanted.lineages or owners:
            return None
        found: set[int] = set()
        for id_ in wanted.accounts:
            keys = self._keys.get(id_)
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
            self._keys[one.account] = keys
            complete = complete and locked.issuperset(keys)
        if by_key is not None and not by_key.accounts.issubset(one.account for one in accounts):
            self._keys.clear()
            return False
        return complete


_REMEMBERED = 200_000
_directories: WeakKeyDictionary[psycopg.Connection[Any], Directory] = WeakKeyDictionary()


class Snapshot(NamedTuple):
    book: Book
    known: dict[tuple[str, str], Known]


def load(connection: psycopg.Connection[Any], items: Sequence[Item], wanted: Wanted) -> Snapshot:
    """Everything that is wanted for the items, locked until the transaction ends. Raises BatchRaced."""
    past = _past(connection, wanted)
    owners = {key for one in past for key, _, _ in one.postings} | {one.account for one in past}
    directory = _directories.setdefault(connection, Directory())
    before: list[int] | None = None
    for _ in range(_ATTEMPTS):
        keys = directory.keys(wanted, owners)
        loaded = _load(connection, items, wanted, owners, keys)
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
        transaction_keys=iter(loaded.transaction_keys),
        account_keys=iter(loaded.account_keys),
    )
    for kind, rows in loaded.rows:
        spec = KINDS[kind]
        for row in rows:
            made = kind(*row)
            book.put(kind, spec.key_of(made), made)
    for one in past:
        book.put_past(one)
        if one.reference and one.method:
            # Not taken back yet, it still holds its reference; taken back, no decision looks at it.
            key = (one.top, one.method, one.reference)
            if book.get(RechargeReference, key) is None:
                book.put(RechargeReference, key, RechargeReference(*key, one.transaction))
    known = {
        (items[item - 1].event.source, items[item - 1].event.id): Known(fingerprint, reason, outcome.encode())
        for item, fingerprint, reason, outcome in loaded.known
    }
    return Snapshot(book, known)


class _Loaded(NamedTuple):
    accounts: list[Any]
    known: list[Any]
    rows: list[tuple[type[Any], list[Any]]]
    transaction_keys: list[int]
    account_keys: list[int]


def _load(
    connection: psycopg.Connection[Any],
    items: Sequence[Item],
    wanted: Wanted,
    owners: set[int],
    keys: list[int] | None,
) -> _Loaded:
    with connection.pipeline():
        accounts = _cursor(connection)
        if keys is not None:
            accounts.execute(LOCK_KEYS, (literal(keys),), prepare=True)
        elif owners or wanted.subtrees or wanted.lineages:
            accounts.execute(
                LOCK_NAMED_AND_MORE,
                [
                    literal(sorted(some))
                    for some in (wanted.accounts, owners, wanted.subtrees, wanted.lineages)
                ],
                prepare=True,
            )
        else:
            accounts.execute(LOCK_NAMED, (literal(list(wanted.accounts)),), prepare=True)
        # After the locks are held, so that whoever held them before us has left their keys and rows to be found.
        known = _cursor(connection)
        known.execute(KEYS, columns(item.key for item in items), prepare=True)
        rows = []
        for kind, row_keys in wanted.rows.items():
            cursor = _cursor(connection)
            cursor.execute(KINDS[kind].load(), _keys(row_keys), prepare=True)
            rows.append((kind, cursor))
        transaction_keys = _next(connection, "transaction_key", len(items))
        account_keys = _next(connection, "account_key", wanted.new_accounts) if wanted.new_accounts else None
        return _Loaded(
            accounts.fetchall(),
            known.fetchall(),
            [(kind, cursor.fetchall()) for kind, cursor in rows],
            [key for (key,) in transaction_keys.fetchall()],
            [key for (key,) in account_keys.fetchall()] if account_keys else [],
        )


def _next(connection: psycopg.Connection[Any], sequence: str, number: int) -> psycopg.Cursor[Any]:
    cursor = _cursor(connection)
    cursor.execute(NEXT_KEYS, (sequence, number), prepare=True)
    return cursor


def _past(connection: psycopg.Connection[Any], wanted: Wanted) -> list[PastTransaction]:
    """Transactions are never changed, so they may be read before anything is locked: they say whom to lock."""
    if not wanted.transactions:
        return []
    cursor = _cursor(connection).execute(PAST_TRANSACTIONS, (sorted(wanted.transactions),))
    return [
        PastTransaction(
            id_,
            time,
            type_,
            account,
            top,
            method,
            reference,
            tuple(zip(accounts, units, amounts, strict=True)),
        )
        for id_, time, type_, account, top, method, reference, accounts, units, amounts in cursor
    ]


def _cursor(connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    return connection.cursor(binary=True)


def _keys(keys: Iterable[Any]) -> list[str]:
    """Keys as one array for each of their parts."""
    listed = list(keys)
    return columns(listed) if isinstance(listed[0], tuple) else [literal(listed)]
