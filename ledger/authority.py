"""Whether a producer may send a command: every account that the command touches has to be covered by one of its rules.

Touched is what the command names, and the owner of what it names by an id. Whoever pays is not touched by that alone.
A refusal names nothing that the command did not name, and reads the same for an account that is not there and one that is
another's. (That an order, a hold … is not there is told as such.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg

from ledger.batch import Delivery
from ledger.decide.notices import live_warning
from ledger.decide.past import past_transaction
from ledger.decide.rule import Ledger
from ledger.model import PLATFORM, Account, Rejected
from ledger.records import Bill, Hold, Order, Resource, Row, Session, Subscription
from ledger.trust import Producer, Rule
from messages.commands import ACCOUNT_FIELDS, COMMANDS, Command, OpenAccount, UpdateAccount
from messages.reasons import Reason

_KEYS = "SELECT account, id FROM account WHERE account = ANY(%b::text[])"

Owners = Callable[[str, Ledger], Iterable[int]]


def _owners_by(*kinds: type[Row]) -> Owners:
    def owners(id_: str, ledger: Ledger) -> Iterator[int]:
        for kind in kinds:
            row = ledger.get(kind, id_)
            if row is not None:
                yield row.account

    return owners


def _owner_of_warning(id_: str, ledger: Ledger) -> Iterator[int]:
    warning = live_warning(id_, ledger)
    if warning is not None:
        yield warning.account


def _owner_of_transaction(number: str, ledger: Ledger) -> Iterator[int]:
    past = past_transaction(number, ledger)
    if past is not None:
        yield past.account


# Under the name of the field by which commands name it. A session's order goes by the session's id.
_OWNERS: dict[str, Owners] = {
    "order": _owners_by(Order),
    "session": _owners_by(Session, Order),
    "hold": _owners_by(Hold),
    "resource": _owners_by(Resource),
    "subscription": _owners_by(Subscription),
    "bill": _owners_by(Bill),
    "warning": _owner_of_warning,
    "transaction": _owner_of_transaction,
}


class _Touches(NamedTuple):
    """The fields of a command that name accounts, and those that name what belongs to one."""

    accounts: tuple[str, ...]
    owned: tuple[tuple[str, Owners], ...]


def _touches(model: type[Command]) -> _Touches:
    fields = model.model_fields
    return _Touches(
        tuple(name for name in ACCOUNT_FIELDS if name in fields),
        tuple((name, owners) for name, owners in _OWNERS.items() if name in fields),
    )


TOUCHES: dict[type[Command], _Touches] = {model: _touches(model) for model in COMMANDS.values()}


def refusal(command: Command, producer: Producer, ledger: Ledger, keys: Mapping[str, int]) -> Rejected | None:
    """Why the producer may not send this command, if it may not. `keys`: of the accounts that its rules name."""
    if producer.rules is None:
        return None
    name = type(command).__name__
    rules = [rule for rule in producer.rules if rule.lists(name)]
    touches = TOUCHES[type(command)]
    if not rules:
        return _may_not(producer, name)
    if not any(touches):
        return None if any(rule.everywhere for rule in rules) else _may_not(producer, name)
    reach = _Reach(rules, ledger, keys)
    for field in touches.accounts:
        id_: str | None = getattr(command, field)
        if id_ is not None and not _may_name(id_, field, command, reach, ledger):
            return _may_not(producer, f"{name} for {id_}")
    if isinstance(command, UpdateAccount) and not _may_choose_payer(command, reach, ledger):
        return _may_not(producer, f"{name} of the funding of {command.account}")
    for field, owners in touches.owned:
        named: str | None = getattr(command, field)
        if named is not None and not all(reach.covers(ledger.by_key(key)) for key in owners(named, ledger)):
            return _may_not(producer, f"{name} for the {field} {named}")
    return None


def _may_name(id_: str, field: str, command: Command, reach: _Reach, ledger: Ledger) -> bool:
    if field == "parent" and id_ == PLATFORM:
        return reach.everywhere
    account = ledger.account(id_)
    if account is None:
        # One that is to be opened is judged by where it will stand: its parent is named as well.
        return field == "account" and isinstance(command, OpenAccount)
    return reach.covers(account)


def _may_choose_payer(command: UpdateAccount, reach: _Reach, ledger: Ledger) -> bool:
    """Who is to pay from now on is not the account's own affair: whoever changes that has to be let to its parent, too."""
    account = ledger.account(command.account)
    if command.funding is None or account is None or command.funding == account.funding:
        return True
    return reach.everywhere or reach.covers(ledger.by_key(account.parent))


class _Reach:
    """What some rules cover. The account that one is about may not exist; then it covers nothing."""

    __slots__ = ("_under", "everywhere")

    def __init__(self, rules: list[Rule], ledger: Ledger, keys: Mapping[str, int]) -> None:
        self.everywhere = any(rule.everywhere for rule in rules)
        self._under: list[tuple[int, bool]] = []
        for rule in rules:
            opened = ledger.account(rule.under)
            key = opened.id if opened is not None else keys.get(rule.under)
            if key is not None:
                self._under.append((key, rule.itself))

    def covers(self, account: Account) -> bool:
        return self.everywhere or any(
            key in account.path and (itself or account.id != key) for key, itself in self._under
        )


def _may_not(producer: Producer, what: str) -> Rejected:
    return Rejected(Reason.NOT_AUTHORIZED, f"{producer.name} may not send {what}.")


_remembered: WeakKeyDictionary[psycopg.Connection[Any], dict[str, int]] = WeakKeyDictionary()


def keys_of_rules(
    connection: psycopg.Connection[Any],
    deliveries: Iterable[Delivery],
    *,
    known: Mapping[str, int] | None = None,
) -> Mapping[str, int]:
    """The keys of the accounts that the senders' rules name, as far as there are any; nothing is locked.

    An account's id and key never change, so a session asks once; but before its transaction has written anything, since
    what that writes may be rolled back. known: what was found then; later on in the transaction only the rest is asked for,
    and remembered no longer than that. Where nobody has rules, nothing is asked.
    """
    senders = {
        id(sender): sender for one in deliveries if (sender := one.sender) is not None and sender.rules
    }
    if not senders:
        return {}
    named = {rule.under for sender in senders.values() for rule in sender.rules or () if not rule.everywhere}
    found = dict(_remembered.setdefault(connection, {}) if known is None else known)
    if missing := named - found.keys():
        new = connection.execute(_KEYS, (list(missing),), prepare=True).fetchall()
        found.update(new)
        if known is None:
            _remembered[connection].update(new)
    return found
