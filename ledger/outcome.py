"""Outcomes as JSON: composed once, stored with the command's key, and sent again from there.

What is stored is the part of `data` that never changes; who asked, and whether it is a duplicate, is put around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from ledger.model import Account, Announcement
from messages.events import SOURCE, EventType
from messages.fields import time_text
from messages.reasons import Reason

PUBLIC = ""


def figures(account: Account) -> dict[str, Any]:
    """What an outcome shows of an account. Of a shared one, not what its master has."""
    return {
        "account": account.account,
        "credit": account.credit,
        "credit_limit": account.credit_limit,
        "frozen": account.frozen,
        "available": account.available if account.funding != "shared" else None,
    }


def stored(
    reason: Reason | None, message: str | None, transaction: str | None, accounts: Iterable[Account] = ()
) -> bytes:
    """The lasting part of an outcome."""
    return orjson.dumps(
        {
            "reason": reason,
            "message": message,
            "transaction": transaction,
            "accounts": [figures(account) for account in accounts],
        }
    )


class Answers:
    """The outcome events of a batch: each with an id that stays the same however often it is published.

    The moment is part of the id: a database that was restored from a backup counts its batches from there again, and what
    it decides then must not go by the ids of what was decided before.
    """

    def __init__(self, batch: int, now: datetime) -> None:
        self._batch = batch
        self._now = now
        self._moment = int(now.timestamp() * 1_000_000)
        self._time = time_text(now).encode()

    def id_of(self, slot: int) -> str:
        """The id of the outcome in that slot."""
        return f"{self._batch}-{slot}-{self._moment:x}"

    def id_of_further(self, slot: int, number: int) -> str:
        """The id of a further event of the command in that slot."""
        return f"{self._batch}-{slot}.{number}-{self._moment:x}"

    def event(
        self,
        slot: int,
        *,
        source: str,
        id: str,
        type: str | None,
        applied: bool,
        duplicate: bool,
        lasting: bytes,
        traceparent: str | None = None,
    ) -> bytes:
        """The whole event as JSON. traceparent: as `messages.tracing` lets it through."""
        key = orjson.dumps(id)
        return b"".join(
            (
                b'{"specversion":"1.0","id":"%d-%d-%x","source":"%b","type":"%b","time":"%b","causationid":'
                % (self._batch, slot, self._moment, _SOURCE, _APPLIED if applied else _REJECTED, self._time),
                key,
                _DATA if traceparent is None else b',"traceparent":"%b"%b' % (traceparent.encode(), _DATA),
                source.encode(),
                b'","id":',
                key,
                b',"type":',
                orjson.dumps(type),
                b'},"duplicate":true,' if duplicate else b'},"duplicate":false,',
                lasting[1:],
                b"}",
            )
        )

    def further(
        self,
        slot: int,
        number: int,
        said: Announcement,
        top_account: str,
        traceparent: str | None = None,
    ) -> bytes:
        """A further event of the command in that slot; `number` counts those of one command."""
        account = said.account.account
        return self.news(slot, number, said.type, account, top_account, said.data, traceparent)

    def news(
        self,
        slot: int,
        number: int,
        type: EventType,
        account: str,
        top_account: str,
        data: dict[str, Any],
        traceparent: str | None = None,
    ) -> bytes:
        """A further event, by the public ids of the account and its top account."""
        id_ = self.id_of_further(slot, number)
        return further_event(id_, self._now, type, account, top_account, data, traceparent)


_SOURCE = SOURCE.encode()
_DATA = b',"datacontenttype":"application/json","data":{"command":{"source":"'
_APPLIED = EventType.APPLIED.encode()
_REJECTED = EventType.REJECTED.encode()


def route(producer: str, applied: bool, command: str) -> str:
    """Where an outcome goes: `outcome.<producer>.<applied or rejected>.<command>`, as a routing key of a topic."""
    return f"outcome.{producer}.{'applied' if applied else 'rejected'}.{command}"


def further_event(
    id: str,
    now: datetime,
    type: EventType,
    account: str,
    top_account: str,
    data: dict[str, Any],
    traceparent: str | None = None,
) -> bytes:
    """A further event (CONTRACT §5) as JSON; the same id on every publication. traceparent: of what has caused it."""
    trace = {"traceparent": traceparent} if traceparent is not None else {}
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": type.value,
            "time": time_text(now),
            **trace,
            "datacontenttype": "application/json",
            "data": {"account": account, "top_account": top_account, **data},
        }
    )


def further_route(top_account: str, type_: EventType) -> str:
    """Where a further event goes: `event.<top account>.<type>`."""
    return f"event.{top_account}.{type_.value}"
