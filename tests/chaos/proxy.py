"""Between the product's processes and a server: connections can be cut, held up, or cut exactly at what matters.

That is a COMMIT on its way to PostgreSQL, and commands or events on their way to Valkey or RabbitMQ.

A port for each role, so that one can be hit without the others. It speaks TCP to the clients, and TCP or the server's own
socket on the other side. Nothing is changed on the way: what a server says to a cut client is lost, as it is on a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from ssl import SSLContext
from typing import Any

READ_BYTES = 65_536
BASIC_PUBLISH = struct.pack("!HH", 60, 40)  # AMQP's class and method
STARTUP_CODE = 3 << 16  # protocol 3.0; what comes before it (a request for encryption) has other codes


class Moment(Enum):
    """When a connection is cut that commits or publishes."""

    BEFORE = "before it reached the server"
    AFTER = "after it was done, before the client heard so"


@dataclass
class Trap:
    """Waits for what somebody commits or publishes next."""

    whose: str
    moment: Moment
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Usable with `with`; all of it may be called from any thread."""

    def __init__(
        self,
        upstream: Path | tuple[str, int],
        roles: Sequence[str],
        *,
        postgres: bool = False,
        encrypted: SSLContext | None = None,
    ) -> None:
        """`upstream`: a socket, or host and port. `postgres`: the traffic is PostgreSQL's, else Valkey's or RabbitMQ's.

        `encrypted`: how clients are spoken to; without it in the clear.
        """
        self.upstream = upstream
        self.ports: dict[str, int] = {}
        self.postgres = postgres
        self.traps: list[Trap] = []
        self.held_up: list[str] = []
        self._roles = roles
        self._encrypted = encrypted
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> Proxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, whose: str, *, one_of_them: float | None = None) -> int:
        """End a role's connections without a word; with a number from 0 to 1 only one of them. How many."""

        def end() -> int:
            found = sorted((line for line in self._lines if line.whose == whose), key=id)
            if one_of_them is not None and found:
                found = [found[int(one_of_them * len(found))]]
            for line in found:
                line.cut()
            return len(found)

        return int(self._called(end))

    def hold_up(self, whose: str, session: str = "") -> None:
        """Let nothing of a role's through, either way, and close nothing.

        With a name only of the sessions of that name that are there already: whoever connects anew comes through.
        """

        def hold() -> None:
            if session:
                for line in self._lines:
                    line.stuck = line.stuck or (line.whose == whose and line.named(session))
            else:
                self.held_up.append(whose)
            self._open_and_close()

        self._called(hold)

    def let_through(self, whose: str, session: str = "") -> None:
        def release() -> None:
            if session:
                for line in self._lines:
                    line.stuck = line.stuck and not (line.whose == whose and line.named(session))
            elif whose in self.held_up:
                self.held_up.remove(whose)
            self._open_and_close()

        self._called(release)

    def set_trap(self, trap: Trap) -> None:
        self._called(lambda: self.traps.append(trap))

    def take_away(self, trap: Trap) -> None:
        self._called(lambda: trap in self.traps and self.traps.remove(trap))

    def calm(self) -> None:
        """Whatever was begun has an end."""

        def release() -> None:
            self.traps.clear()
            self.held_up.clear()
            for line in self._lines:
                line.stuck = False
            self._open_and_close()

        self._called(release)

    def _open_and_close(self) -> None:
        for line in self._lines:
            line.flow(not line.stuck and line.whose not in self.held_up)

    def _called(self, action: Callable[[], Any]) -> Any:
        async def act() -> Any:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    async def _listen(self) -> None:
        for role in self._roles:

            async def accept(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whose: str = role
            ) -> None:
                await self._serve(whose, reader, writer)

            server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._encrypted)
            self.ports[role] = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def _serve(self, whose: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await self._connected()
        except OSError:
            writer.transport.abort()
            return
        line = _Line(self, whose, (reader, writer), server)
        self._lines.add(line)
        self._open_and_close()
        try:
            await line.carry()
        finally:
            line.cut()
            self._lines.discard(line)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.upstream, Path):
            return await asyncio.open_unix_connection(str(self.upstream))
        return await asyncio.open_connection(*self.upstream)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for line in list(self._lines):
            line.cut()
        while self._lines:
            await asyncio.sleep(0.01)
        # Also those whose handshake has come to no end, of which only the loop knows.
        for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        await asyncio.sleep(0.05)  # what was aborted is closed when the loop comes round to it


class _Line:
    """One connection: there and back."""

    def __init__(
        self,
        proxy: Proxy,
        whose: str,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.whose = whose
        self.stuck = False
        self._proxy = proxy
        self._client, self._server = client, server
        self._flowing = asyncio.Event()
        self._frames = Frames() if proxy.postgres else None
        self._sprung: Trap | None = None

    def named(self, session: str) -> bool:
        """Whether it is a session of PostgreSQL that calls itself so."""
        return self._frames is not None and f"application_name\0{session}\0".encode() in self._frames.startup

    def flow(self, whether: bool) -> None:
        if whether:
            self._flowing.set()
        else:
            self._flowing.clear()

    def cut(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()
        self._flowing.set()

    async def carry(self) -> None:
        ways = [asyncio.create_task(self._there()), asyncio.create_task(self._back())]
        _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self.cut()
        for way in left:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _there(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._client[0].read(READ_BYTES):
                await self._flowing.wait()
                messages = [data] if self._frames is None else self._frames.feed(data)
                trap = self._trapped(messages)
                if trap is not None and trap.moment is Moment.BEFORE:
                    trap.sprung.set()
                    return
                self._sprung = self._sprung or trap
                self._server[1].write(b"".join(messages))
                await self._server[1].drain()

    async def _back(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._server[0].read(READ_BYTES):
                await self._flowing.wait()
                if self._sprung is not None:  # the server has answered: it is done
                    self._sprung.sprung.set()
                    return
                self._client[1].write(data)
                await self._client[1].drain()

    def _trapped(self, messages: list[bytes]) -> Trap | None:
        matters = publishes if self._frames is None else commits
        if not self._proxy.traps or not any(map(matters, messages)):
            return None
        found = next((one for one in self._proxy.traps if one.whose == self.whose), None)
        if found is not None:
            self._proxy.traps.remove(found)
        return found


class Frames:
    """Whole messages of PostgreSQL's protocol, as a client sends them, out of pieces."""

    def __init__(self) -> None:
        self.startup = b""
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now."""
        self._rest += data
        frames, at = [], 0
        while True:
            head = 1 if self.startup else 0
            if len(self._rest) < at + head + 8 - 4 * head:
                break
            (length,) = struct.unpack_from("!I", self._rest, at + head)
            end = at + head + length
            if len(self._rest) < end:
                break
            frames.append(self._rest[at:end])
            if not self.startup and struct.unpack_from("!I", frames[-1], 4) == (STARTUP_CODE,):
                self.startup = frames[-1]
            at = end
        self._rest = self._rest[at:]
        return frames


def commits(frame: bytes) -> bool:
    """Whether a message is a COMMIT, as a simple query or to be parsed."""
    match frame[:1]:
        case b"Q":
            text = frame[5:]
        case b"P":
            text = frame[5:].partition(b"\0")[2]
        case _:
            return False
    return text[:6].upper() == b"COMMIT"


def publishes(data: bytes) -> bool:
    """Whether it is, or begins, what goes into a stream or an exchange: a producer's commands, or the relay's events."""
    return b"XADD" in data or b"EVALSHA" in data or BASIC_PUBLISH in data
