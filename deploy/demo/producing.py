"""Three foreign producers: a plain client of the server puts bytes on the edge, and reads outcomes back. Nothing of ours."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import redis

from deploy.demo.story import APPLIED, PRODUCERS, Key, Message, short_type

COMMANDS = "coins:commands:0:{}"
OUTCOMES = "coins:events:{}"
PIPELINED = 200


class Outcome(NamedTuple):
    """What became of a delivery of a command."""

    key: Key
    command: str
    result: str
    duplicate: bool
    transaction: str | None
    message: str


class Producers:
    """What all of them send, and what they have been told. Counts deliveries and outcomes by key."""

    def __init__(self, url: str, *, only_new: bool = False) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=10, protocol=2)
        streams = [OUTCOMES.format(name) for name in PRODUCERS]
        self._positions: dict[Any, Any] = {
            stream: self._end_of(stream) if only_new else "0-0" for stream in streams
        }
        self._seen: set[str] = set()
        self.sent_messages = 0
        self.sent: Counter[Key] = Counter()
        self.outcomes: list[Outcome] = []
        self.heard_at: list[float] = []

    @property
    def last_outcome_at(self) -> float:
        """On the monotonic clock."""
        return self.heard_at[-1] if self.heard_at else 0.0

    def longest_silence(self, since: float) -> tuple[float, float]:
        """From when to when nothing came in, at longest, since that moment."""
        moments = [since, *(moment for moment in self.heard_at if moment > since)]
        silences = pairwise(moments)
        return max(silences, key=lambda silence: silence[1] - silence[0], default=(since, since))

    @property
    def missing(self) -> int:
        """How many outcomes are still to come."""
        return self.sent.total() - len(self.outcomes)

    def publish(self, messages: Sequence[Message]) -> None:
        """Each producer's messages onto its own stream, in order. Raises redis.RedisError."""
        for start in range(0, len(messages), PIPELINED):
            pipeline = self._client.pipeline(transaction=False)
            for message in messages[start : start + PIPELINED]:
                pipeline.xadd(COMMANDS.format(message.producer), {"event": message.body})
            pipeline.execute()
        self.sent_messages += len(messages)
        for message in messages:
            self.sent.update(message.keys())

    def listen(self, *, seconds: float) -> int:
        """Read what has come in, waiting up to so long for the first; how many there were."""
        block = max(1, int(seconds * 1000))
        found: Any = self._client.xread(self._positions, count=500, block=block)
        before = len(self.outcomes)
        for stream, entries in found or ():
            for position, fields in entries:
                self._positions[stream.decode()] = position
                self._note(json.loads(fields[b"event"]))
        if len(self.outcomes) > before:
            self.heard_at.append(time.monotonic())
        return len(self.outcomes) - before

    def numbers(self) -> dict[Key, str]:
        """The transaction of each command that was applied."""
        return {one.key: one.transaction for one in self.outcomes if one.transaction}

    def answered(self) -> Counter[Key]:
        """How many outcomes each key has got."""
        return Counter(one.key for one in self.outcomes)

    def applied_twice(self) -> list[Key]:
        """Keys that claim to have been applied more than once: there must be none."""
        first_times: dict[Key, int] = defaultdict(int)
        for one in self.outcomes:
            first_times[one.key] += one.result == APPLIED and not one.duplicate
        return [key for key, times in first_times.items() if times > 1]

    def counts(self, *, duplicate: bool) -> dict[str, int]:
        """Outcomes by command and result, those of repeated deliveries or all others."""
        chosen = (one for one in self.outcomes if one.duplicate == duplicate)
        return dict(sorted(Counter(f"{one.command} {one.result}" for one in chosen).items()))

    def close(self) -> None:
        self._client.close()

    def _end_of(self, stream: str) -> str:
        last: Any = self._client.xrevrange(stream, count=1)
        return last[0][0].decode() if last else "0-0"

    def _note(self, event: dict[str, Any]) -> None:
        if event["id"] in self._seen:  # published again, as may happen: the same event
            return
        self._seen.add(event["id"])
        data = event["data"]
        command = data["command"]
        self.outcomes.append(
            Outcome(
                (command["source"], command["id"]),
                short_type(command["type"]),
                data["reason"] or APPLIED,
                data["duplicate"],
                data["transaction"],
                data["message"] or "",
            )
        )
