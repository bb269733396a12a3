"""Streams of RabbitMQ a page at a time, from a moment up to where they ended: all that there is, or an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from messages.amqp_wire import drain
from messages.errors import EdgeUnavailable
from messages.rabbitmq import READ_AHEAD, common_channel, consuming_channel
from workers.topology import is_there

# What is held of a stream at a time, and one message more.
PAGE_BYTES, PAGE_FIRST = 1_000_000, 100
# How long a stream that has something may give nothing.
PATIENCE_SECONDS = 30.0
# The server counts what stands in a stream every five seconds.
COUNTED_SECONDS = 6.0
# So long nothing more comes of a stream that gives what it has.
QUIET_SECONDS = 2.0
# Streams that are looked at together, each on a channel of its own.
AT_ONCE = 100


def offset_of(message: Any) -> int:
    """Its place in the stream, as the server says it."""
    offset = (message.headers or {}).get("x-stream-offset")
    if not isinstance(offset, int):
        raise EdgeUnavailable(f"RabbitMQ gave a message out of a stream without its offset ({offset!r})")
    return offset


def ends(connection: Any, queues: Sequence[str]) -> dict[str, int]:
    """Of those streams that are there the offset behind the last message; 0 where there is none.

    Raises EdgeUnavailable where one has messages and gives none, and what py-amqp does.
    """
    there = [queue for queue in queues if is_there(connection, queue)]
    found: dict[str, int] = {}
    for begin in range(0, len(there), AT_ONCE):
        found |= _ends(connection, there[begin : begin + AT_ONCE])
    return found


def _ends(connection: Any, queues: Sequence[str]) -> dict[str, int]:
    found = dict.fromkeys(queues, 0)

    def came(queue: str, message: Any) -> None:
        found[queue] = max(found[queue], offset_of(message) + 1)
        message.channel.basic_ack(message.delivery_tag)

    with ExitStack() as stack:
        for queue in queues:
            stack.enter_context(_consuming(connection, queue, "last", PAGE_FIRST, partial(came, queue)))
        began = time.monotonic()
        while silent := [queue for queue in queues if not found[queue]]:
            drain(connection, 1.0)
            waited = time.monotonic() - began
            if waited < COUNTED_SECONDS:
                continue
            if not (holding := [queue for queue in silent if not found[queue] and _count(connection, queue)]):
                break
            if waited > PATIENCE_SECONDS:
                raise _unread(holding[0], f"gave none of its messages within {PATIENCE_SECONDS:g} s")
        # Whatever stood there when we began has come by then; others may still be sending.
        until = time.monotonic() + PATIENCE_SECONDS
        while drain(connection, QUIET_SECONDS) and time.monotonic() < until:
            pass
    return found


def pages(
    connection: Any,
    queue: str,
    since: datetime | None,
    end: int,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[list[Any]]:
    """Messages from a moment on up to an offset. Other streams may be read between two pages.

    Raises EdgeUnavailable where it ends before that, and what py-amqp does.
    """
    offset: datetime | str | int = since if since is not None else "first"
    prefetch = PAGE_FIRST
    while end:
        page = _page(connection, queue, offset, prefetch, end, patience_seconds)
        if not page and offset is since:
            return
        if not page:
            raise _unread(queue, f"ended at {offset}, before {end}")
        yield [message for message in page if offset_of(message) < end]
        last = offset_of(page[-1])
        if last >= end - 1:
            return
        offset = last + 1
        average = sum(len(message.body or b"") for message in page) // len(page) + 1
        prefetch = max(1, min(READ_AHEAD, PAGE_BYTES // average))


def _page(
    connection: Any,
    queue: str,
    offset: datetime | str | int,
    prefetch: int,
    end: int,
    patience_seconds: float,
) -> list[Any]:
    """What comes first from there. What comes while it is full is dropped: it will be read with the next page."""
    page: list[Any] = []
    size = 0

    def full() -> bool:
        return size >= PAGE_BYTES or len(page) >= prefetch or bool(page and offset_of(page[-1]) >= end - 1)

    def came(message: Any) -> None:
        nonlocal size
        if not full():
            page.append(message)
            size += len(message.body or b"")

    by_moment = isinstance(offset, datetime)
    with _consuming(connection, queue, offset, prefetch, came):
        while not full() and drain(
            connection, QUIET_SECONDS if by_moment and not page else patience_seconds, full
        ):
            pass
        if by_moment and not page:
            # Nothing since then, if it gives meanwhile what it has.
            ends(connection, [queue])
    return page


@contextmanager
def _consuming(
    connection: Any,
    queue: str,
    offset: datetime | str | int,
    prefetch: int,
    came: Callable[[Any], None],
) -> Iterator[None]:
    channel = consuming_channel(connection)
    channel.basic_qos(0, prefetch, False)
    tag = channel.basic_consume(queue, callback=came, arguments={"x-stream-offset": offset})
    yield
    channel.basic_cancel(tag)
    channel.close()


def _count(connection: Any, queue: str) -> int:
    return int(common_channel(connection).queue_declare(queue, passive=True).message_count)


def _unread(queue: str, what: str) -> EdgeUnavailable:
    return EdgeUnavailable(
        f"the stream {queue} {what}; look whether all nodes of RabbitMQ are up and well, then try again"
    )
