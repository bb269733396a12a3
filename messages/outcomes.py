"""Reading outcomes back: what a producer does before it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

import redis

from .errors import EdgeUnavailable
from .publisher import RABBITMQ, REFUSALS, connect, refused
from .streams import outcomes_stream


class Outcomes(Protocol):
    """A producer's outcomes, as one server has them. Raises EdgeUnavailable, EdgeRefused."""

    def read(self, *, within_seconds: float) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class OutcomeReader:
    """Reads a producer's outcomes from where the stream ends when this is made: make it before you send.

    Raises EdgeUnavailable where the server cannot be reached, EdgeRefused where it does not let this user read them.
    """

    def __init__(self, url: str, producer: str, *, timeout_seconds: float = 5.0) -> None:
        self._outcomes = _outcomes_at(url, producer, timeout_seconds)

    def read(self, *, within_seconds: float) -> Iterator[bytes]:
        """Outcome events as JSON, in order, until none has come for `within_seconds`."""
        return self._outcomes.read(within_seconds=within_seconds)

    def close(self) -> None:
        self._outcomes.close()


def _outcomes_at(url: str, producer: str, timeout_seconds: float) -> Outcomes:
    if not url.startswith(RABBITMQ):
        return RedisOutcomes(url, producer, timeout_seconds=timeout_seconds)
    from .rabbitmq import RabbitOutcomes

    return RabbitOutcomes(url, producer, timeout_seconds=timeout_seconds)


class RedisOutcomes:
    """Out of a stream of Redis or Valkey."""

    def __init__(self, url: str, producer: str, *, timeout_seconds: float = 5.0) -> None:
        self._client = connect(url, timeout_seconds=timeout_seconds, retries=3)
        self._stream = outcomes_stream(producer)
        try:
            last: Any = self._client.xrevrange(self._stream, count=1)
        except REFUSALS as error:
            raise refused(error) from error
        except redis.RedisError as error:
            raise EdgeUnavailable(f"outcomes cannot be read ({error})") from error
        self._position: Any = last[0][0] if last else "0-0"

    def read(self, *, within_seconds: float) -> Iterator[bytes]:
        """Outcome events as JSON, in order, until none has come for `within_seconds`."""
        deadline = time.monotonic() + within_seconds
        while (left := deadline - time.monotonic()) > 0:
            block = max(1, int(min(left, 1.0) * 1000))
            try:
                found: Any = self._client.xread({self._stream: self._position}, count=1_000, block=block)
            except REFUSALS as error:
                raise refused(error) from error
            except redis.RedisError as error:
                raise EdgeUnavailable(f"outcomes cannot be read ({error})") from error
            for _, entries in found or ():
                for position, fields in entries:
                    self._position = position
                    yield fields[b"event"]
                deadline = time.monotonic() + within_seconds

    def close(self) -> None:
        self._client.close()
