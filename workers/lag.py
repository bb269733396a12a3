"""How far behind the reading of Redis or Valkey is: how long the oldest command that was not read has been there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import redis

from messages.publisher import connect
from messages.streams import COMMANDS, read_commands_stream

# Whoever names the ids of entries himself may write anything: what lies before is no moment of arrival.
FIRST_ARRIVAL = 1_577_836_800.0  # 2020


def arrived_at(position: str) -> float | None:
    """When an entry of a stream came, in Unix seconds, by its id; None for an id that somebody has made up."""
    return moment(int(position.partition("-")[0]) / 1000)


def moment(seconds: float) -> float | None:
    """Unix seconds at which something may have come; None for what was made up."""
    return seconds if FIRST_ARRIVAL < seconds < time.time() + 60 else None


def behind_seconds(
    url: str, positions: Mapping[str, str], *, partitions: int, common: bool
) -> dict[int, float]:
    """Of each partition, how long its oldest unread command has waited; 0 where all is read.

    positions: up to where the ledger has read each stream. common: whether the common streams are read.
    Raises redis.RedisError, EdgeUnavailable.
    """
    client = connect(url, timeout_seconds=3)
    try:
        return _behind(client, positions, partitions, common)
    finally:
        client.close()


def _behind(
    client: redis.Redis, positions: Mapping[str, str], partitions: int, common: bool
) -> dict[int, float]:
    client.ping()
    found = dict.fromkeys(range(partitions), 0.0)
    streams: dict[str, int] = {}
    for key in client.scan_iter(match=f"{COMMANDS}*", count=1_000, _type="stream"):
        name = key.decode("utf-8", "replace")
        known = read_commands_stream(name)
        if known is not None and (common or known[1] is not None):
            streams[name] = known[0] % partitions
    pipeline = client.pipeline(transaction=False)
    for name in streams:
        pipeline.xrange(name, min=f"({positions.get(name, '0-0')}", count=1)
        pipeline.xrange(name, count=1)
        pipeline.xrevrange(name, count=1)
    now = time.time()
    answers = iter(pipeline.execute(raise_on_error=False))
    for (name, partition), beyond, first, last in zip(
        streams.items(), answers, answers, answers, strict=True
    ):
        arrived = _first_of(_unread(beyond, first, last, positions.get(name, "0-0")))
        if arrived is not None:
            found[partition] = max(found[partition], now - arrived)
    return found


def _unread(beyond: Any, first: Any, last: Any, position: str) -> Any:
    """What comes next. A stream that ends before the position has begun again: it is read from its start (StreamReader)."""
    from workers.streams import order_of

    if isinstance(last, redis.RedisError) or not last:
        return last
    return first if order_of(last[0][0].decode()) < order_of(position) else beyond


def _first_of(answer: Any) -> float | None:
    if isinstance(answer, redis.RedisError) or not answer:
        return None
    return arrived_at(answer[0][0].decode())
