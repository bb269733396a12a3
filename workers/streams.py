"""Commands out of Redis or Valkey streams: reading in turn, from a position that only the ledger moves."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from ledger.batch import Delivery, Move
from ledger.trust import Producers
from messages.codec import Part, Unreadable
from messages.envelope import MAX_MESSAGE_BYTES
from messages.publisher import connect
from messages.streams import COMMANDS, commands_stream, read_commands_stream
from workers.lag import arrived_at

log = structlog.get_logger(__name__)

START = "0-0"
MAX_DELIVERIES = 500
MAX_BYTES = 4 * 1024 * 1024
SCAN_SECONDS = 0.25
TRIM_SECONDS = 0.25
KEPT_TRIM_SECONDS = 5.0
KEPT_BYTES = 64 * 1024
# What is longer is refused whatever it says, and nobody's disk should be filled by it.
LONGEST_KEPT_BYTES = MAX_MESSAGE_BYTES
LONGEST_SIGNATURE = 64
# What is read ahead of one stream: what another one brings meanwhile does not wait behind more.
AHEAD_BYTES = 1024 * 1024
_LAST_SEQUENCE = 2**64 - 1
_FIRST_GUESS_BYTES = 64 * 1024


_TRIM = """
local function parts(id)
  local milliseconds, sequence = string.match(id, '(%d+)-(%d+)')
  return tonumber(milliseconds), tonumber(sequence)
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then
    local last, last_sequence = parts(info[i + 1])
    local read, read_sequence = parts(ARGV[1])
    if last < read or (last == read and last_sequence < read_sequence) then return 0 end
  end
end
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])"""


@dataclass(slots=True)
class Stream:
    """A producer's stream. `stored`: the ledger's position; `cursor`: how far we have read, ahead of it."""

    name: str
    producer: str | None
    stored: str = START
    cursor: str = START


@dataclass(slots=True)
class StreamReader:
    """Reads the streams of one partition (`reading.CommandReader`).

    common: also the stream that any producer may write to. producers: who may send from now on; None where everybody may.
    keep_seconds: how long what was read stays.

    Raises redis.RedisError; then forget everything that was read and begin again at the ledger's positions.
    """

    url: str
    partition: int
    partitions: int
    common: bool = True
    producers: Producers | None = None
    keep_seconds: int = 0
    streams: dict[str, Stream] = field(default_factory=dict)
    _client: redis.Redis | None = None
    _scanned_at: float = 0.0
    _scan_seconds: float = SCAN_SECONDS
    _average_bytes: float = _FIRST_GUESS_BYTES
    _busy: int = 1
    _size: int = 0
    _to_trim: dict[str, str] = field(default_factory=dict)
    _trimmed_at: float = 0.0

    def begin(self, positions: Mapping[str, str]) -> None:
        """Start from the ledger's positions."""
        self.streams, self._to_trim = {}, {}
        for name in {commands_stream(self.partition), *positions}:
            self._know(name, positions.get(name, START))
        self._scanned_at = 0.0
        self._look_around()

    def to_remember(self) -> Mapping[str, str]:
        """None: each is moved."""
        return {}

    def tick(self) -> None:
        """Nothing to do: the server asks nobody whether he lives."""

    def moves(self, deliveries: Iterable[Delivery]) -> list[Move]:
        """From where the ledger stands to the last of these, stream by stream."""
        last = {delivery.stream: delivery.position for delivery in deliveries}
        return [Move(name, self.streams[name].stored, after) for name, after in last.items()]

    def done(self, deliveries: Iterable[Delivery], moves: Iterable[Move]) -> None:
        """The ledger stands there now."""
        for move in moves:
            self.streams[move.stream].stored = move.after
            self._to_trim[move.stream] = move.after

    def tidy(self, *, idle: bool) -> None:
        """Remove what is committed from the edge, now and then: each time is a write to its disk."""
        every_seconds = KEPT_TRIM_SECONDS if self.keep_seconds else 0 if idle else TRIM_SECONDS
        if self._to_trim and time.monotonic() - self._trimmed_at >= every_seconds:
            self.trim(self._to_trim, self.keep_seconds)
            if not self.keep_seconds:
                self._to_trim = {}
            self._trimmed_at = time.monotonic()

    def read(self, block_milliseconds: int | None) -> list[Delivery]:
        """What is there, a fair part of each stream, in turn; waits for the first if asked to."""
        if time.monotonic() - self._scanned_at > self._scan_seconds:
            self._look_around()
        if not self.streams:
            time.sleep((block_milliseconds or 0) / 1000)
            return []
        budget = int(min(MAX_DELIVERIES, max(1, MAX_BYTES // self._average_bytes)))
        try:
            found = self._read_streams(budget, block_milliseconds)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self._drop_foreign()
            return []
        # What one producer leaves of a batch the others may have: shares are of those who had something to say.
        self._busy = max(1, len(found or ()))
        if not found:
            return []
        if isinstance(found, dict):
            found = [[name, entries] for name, entries in found.items()]
        self._size = 0
        by_stream = [self._deliveries(self.streams[name.decode()], entries) for name, entries in found]
        deliveries = [one for turn in itertools.zip_longest(*by_stream) for one in turn if one is not None]
        read = sum(len(entries) for _, entries in found)
        self._average_bytes = max(1.0, 0.1 * self._average_bytes + 0.9 * self._size / read)
        return deliveries

    def rest_of(self, name: str) -> Iterator[Delivery]:
        """Everything of one stream beyond its cursor, in its order, read as it is asked for."""
        stream, client = self.streams[name], self._connected()
        while entries := client.xrange(name, f"({stream.cursor}", count=MAX_DELIVERIES):
            yield from self._deliveries(stream, entries)

    def _read_streams(self, budget: int, block_milliseconds: int | None) -> Any:
        return self._connected().execute_command(  # type: ignore[no-untyped-call]
            "XREAD",
            "COUNT",
            max(1, budget // self._busy),
            *(("BLOCK", block_milliseconds) if block_milliseconds else ()),
            "STREAMS",
            *self.streams,
            *(stream.cursor for stream in self.streams.values()),
        )

    def _drop_foreign(self) -> None:
        """Forget keys that have a stream's name and are none: they must not keep the others from being read."""
        for name in list(self.streams):
            kind: Any = self._connected().type(name)
            if kind not in (b"stream", b"none"):
                log.error(
                    "this key is no stream, nothing is read from it; delete it", key=name, type=kind.decode()
                )
                del self.streams[name]

    def trim(self, positions: dict[str, str], keep_seconds: int) -> None:
        """Remove what the ledger is past, but for what is to be kept a while.

        A stream that ends before the ledger's position has begun again since it was read: of that one nothing is removed.
        """
        client = self._connected()
        trim = client.register_script(_TRIM)
        pipeline = client.pipeline(transaction=False)
        for name, position in positions.items():
            first_kept = _following(position)
            if keep_seconds:
                kept = f"{int((time.time() - keep_seconds) * 1000)}-0"
                first_kept = min(first_kept, kept, key=order_of)
            trim(keys=[name], args=[position, first_kept], client=pipeline)
        for name, answer in zip(positions, pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(answer, redis.ResponseError):  # it is tried again with what comes next
                log.warning("a stream was not trimmed", stream=name, why=str(answer))
            elif isinstance(answer, Exception):
                raise answer

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _deliveries(self, stream: Stream, entries: list[Any]) -> list[Delivery]:
        deliveries: list[Delivery] = []
        ahead, full = 0, False
        for position, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
            size = sum(map(len, fields.values()))
            self._size += size
            full = full or (bool(deliveries) and ahead + size > AHEAD_BYTES)
            if full:
                continue  # read again when its turn comes
            stream.cursor, ahead = position.decode(), ahead + size
            deliveries.append(self._delivery(stream, fields))
        return deliveries

    def _delivery(self, stream: Stream, fields: dict[bytes, bytes]) -> Delivery:
        body, signature = fields.get(b"event"), fields.get(b"signature")
        made = Delivery(
            stream.name,
            stream.cursor,
            stream.producer,
            body or b"",
            signature=signature[:LONGEST_SIGNATURE] if signature is not None else None,
            producers=self.producers,
            arrived_at=arrived_at(stream.cursor),
        )
        if body is None:
            made.body = b" ".join(itertools.chain.from_iterable(fields.items()))[:KEPT_BYTES]
            why = "the entry has no field `event`; write XADD <stream> * event <json>"
            made.parts = [Unreadable(why, 0)]
            if self.producers is not None:
                made.discredit(why)
        elif len(body) > LONGEST_KEPT_BYTES and made.is_genuine:
            made.body, made.parts = cut(body)
            made.verified = True  # what is left of it would not be
        return made

    def _look_around(self) -> None:
        """Find streams of new producers, and notice a server that has lost what we had read from it."""
        began = time.monotonic()
        client = self._connected()
        for key in client.scan_iter(match=f"{COMMANDS}*", count=1_000, _type="stream"):
            self._know(key.decode("utf-8", "replace"), START)
        pipeline = client.pipeline(transaction=False)
        for name in self.streams:
            pipeline.execute_command("XINFO", "STREAM", name)  # type: ignore[no-untyped-call]
        answers = pipeline.execute(raise_on_error=False)
        for stream, answer in zip(self.streams.values(), answers, strict=True):
            last = _last_id(answer)
            if last is not None and order_of(last) < order_of(stream.cursor):
                stream.cursor = START
        self._scanned_at = time.monotonic()
        # A server with very many keys is not to be kept busy by looking at their names.
        self._scan_seconds = max(SCAN_SECONDS, 20 * (self._scanned_at - began))

    def _know(self, name: str, position: str) -> None:
        known = read_commands_stream(name)
        if known is None or known[0] % self.partitions != self.partition or name in self.streams:
            return
        if known[1] is None and not self.common:
            return
        self.streams[name] = Stream(name, known[1], position, position)

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = connect(self.url, timeout_seconds=5.0)
            # The reply as it comes: making dicts of it costs more than reading it.
            self._client.set_response_callback("XREAD", lambda reply, **_: reply)
            self._client.set_response_callback("XINFO STREAM", lambda reply, **_: reply)
        return self._client


def cut(body: bytes) -> tuple[bytes, list[Part]]:
    """What is kept of a message that is too long: its beginning, and what the whole can be recognised by."""
    digest = hashlib.sha256(body).hexdigest()
    why = f"a message may have 1 MiB at most, this one has {len(body):,} bytes (SHA-256 {digest}); its beginning is kept"
    return body[:KEPT_BYTES], [Unreadable(why, 0)]


def _following(position: str) -> str:
    """The least id beyond it; whoever names ids himself may use up all sequence numbers of a millisecond."""
    milliseconds, sequence = order_of(position)
    if sequence < _LAST_SEQUENCE:
        return f"{milliseconds}-{sequence + 1}"
    return f"{min(milliseconds + 1, _LAST_SEQUENCE)}-{0 if milliseconds < _LAST_SEQUENCE else sequence}"


def _last_id(answer: Any) -> str | None:
    if isinstance(answer, redis.RedisError) or answer is None:
        return None
    fields = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    found = fields.get(b"last-generated-id", fields.get("last-generated-id"))
    return found.decode() if isinstance(found, bytes) else found


def order_of(position: str) -> tuple[int, int]:
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)
