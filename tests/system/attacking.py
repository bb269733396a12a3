"""A system with a producers file, an honest producer, and one that is up to no good: what both can do at the edge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import redis

from messages.publisher import connect
from messages.signing import sign
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, until

HONEST, MALLORY = "honest", "mallory"
SECRETS = {name: f"the secret of {name}, long enough" for name in (HONEST, MALLORY, "coins", "cli")}
FILE = f"""
[producers.coins]
secrets = ["{SECRETS["coins"]}"]
[producers.cli]
secrets = ["{SECRETS["cli"]}"]
[producers.{HONEST}]
secrets = ["{SECRETS[HONEST]}"]
[[producers.{HONEST}.rules]]
commands = ["*"]
under = "acme"
itself = true
[producers.{MALLORY}]
secrets = ["{SECRETS[MALLORY]}"]
[[producers.{MALLORY}.rules]]
commands = ["*"]
under = "evil"
itself = true
"""
# Of the honest producer's world: nothing of it may ever stand in what the attacker gets to read.
HIDDEN = ("Acme Secret GmbH", "boss@acme.example", "987654")
STREAM = "coins:commands:0:{}"
_ids = count(1)


def event(type_: str, source: str, id_: str, /, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": source,
        "type": f"coins.{type_}.v1",
        "data": data,
    }


def body_of(*asked: Any) -> bytes:
    return json.dumps(asked[0] if len(asked) == 1 else list(asked), separators=(",", ":")).encode()


def signed(body: bytes, name: str) -> dict[str, bytes]:
    """The fields of an entry, as that producer signs it."""
    return {"event": body, "signature": sign(body, SECRETS[name]).encode()}


@dataclass
class Battlefield:
    """The system as both see it: a client of the server, and what each is told."""

    site: Site
    client: redis.Redis
    _read: dict[str, str] = field(default_factory=dict)

    def add(self, stream: str, fields: dict[str, bytes]) -> None:
        self.client.xadd(stream, fields)  # type: ignore[arg-type]

    def attack(self, *entries: dict[str, bytes], by: str = MALLORY) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for fields in entries:
            pipeline.xadd(STREAM.format(by), fields)  # type: ignore[arg-type]
        pipeline.execute()

    def told(self, name: str) -> list[dict[str, Any]]:
        """What has been told to a producer since it was asked last."""
        stream = f"coins:events:{name}"
        found: Any = self.client.xrange(stream, f"({self._read[name]}" if name in self._read else "-")
        if found:
            self._read[name] = found[-1][0].decode()
        return [json.loads(fields[b"event"]) for _, fields in found]

    def answer(self, name: str, id_: str, seconds: float = 20.0) -> dict[str, Any]:
        """The outcome of one command; others of that producer are passed over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for one in self.told(name):
                if one["causationid"] == id_:
                    outcome: dict[str, Any] = one
                    return outcome
            time.sleep(0.02)
        raise AssertionError(f"no outcome of {id_} for {name} within {seconds:g} s\n{self.site.logs()}")

    def ask(self, name: str, type_: str, /, **data: Any) -> dict[str, Any]:
        """A command that is signed as it should be; the data of its outcome."""
        id_ = f"{name}-{next(_ids)}"
        self.add(STREAM.format(name), signed(body_of(event(type_, name, id_, **data)), name))
        said: dict[str, Any] = self.answer(name, id_)["data"]
        return said

    def goes_on(self) -> None:
        """An honest command that comes later is applied: nothing has stalled, all before it has been dealt with."""
        assert self.ask(MALLORY, "TopUp", account="evil", amount=1)["reason"] is None
        assert self.ask(HONEST, "TopUp", account="acme-till", amount=1)["reason"] is None

    def put_file(self, text: str) -> None:
        """Another producers file in place of the one in force; noticed within a second."""
        fresh = self.site.directory / "fresh.toml"
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(self.file)

    @property
    def file(self) -> Path:
        return self.site.directory / "producers.toml"

    def owner_is_unharmed(self) -> bool:
        """Whether the worker that began is the one that goes on."""
        return all(program.process.poll() is None for program in self.site.programs)

    def credit(self, account: str) -> int:
        return int(self.site.value("SELECT credit FROM account WHERE account = %s", account))

    def letters(self) -> list[Any]:
        """Reason, why, source, id, length of what was kept, of each dead letter."""
        return self.site.rows(
            "SELECT g.reason, d.why, d.source, d.command_id, length(d.raw) "
            "FROM dead_letter d JOIN dead_letter_group g ON g.id = d.group_id ORDER BY d.id"
        )

    def everything_told(self, name: str) -> str:
        """All that ever stood on a producer's stream."""
        found: Any = self.client.xrange(f"coins:events:{name}")
        return b"\n".join(fields[b"event"] for _, fields in found).decode()


@contextmanager
def battlefield(site: Site) -> Iterator[Battlefield]:
    """The whole system under a producers file, with a world for the honest one and one for the attacker."""
    made = Battlefield(site, connect(site.edge_url))
    made.put_file(FILE)
    verbs = (WORKER, RELAY, JOBS, SCHEDULER)
    site.wait_ready(*[site.start(*verb, wait=False, PRODUCERS_FILE=made.file) for verb in verbs])
    world = [
        event(
            "PutPlan",
            "cli",
            "w0",
            plan="pro",
            name="Pro",
            kind="package",
            price=10,
            cycle={"unit": "month", "count": 1},
        ),
        _opening("w1", "acme", "platform", "enterprise", name="Acme Secret GmbH", email="boss@acme.example"),
        _opening("w2", "acme-till", "acme", "branch"),
        event("TopUp", "cli", "w3", account="acme", amount=987_654),
        event("PlaceHold", "cli", "w4", account="acme", hold="a-hold", amount=54),
        event(
            "PlaceOrder",
            "cli",
            "w5",
            order="a-later",
            account="acme",
            kind="package",
            product="P",
            price=1,
            pay="later",
        ),
        event("Subscribe", "cli", "w6", subscription="a-sub", account="acme", plan="pro", kind="package"),
        _opening("w7", "evil", "platform", "enterprise"),
        _opening("w8", "evil-branch", "evil", "branch"),
        event("TopUp", "cli", "w9", account="evil", amount=1_000),
    ]
    body = body_of(*world)
    made.add(STREAM.format("cli"), signed(body, "cli"))
    until(lambda: len(made.told("cli")) == len(world), 20, site.logs)
    try:
        yield made
    finally:
        made.client.close()


def _opening(id_: str, account: str, parent: str, kind: str, **more: Any) -> dict[str, Any]:
    given = {"name": account, **more}
    return event("OpenAccount", "cli", id_, account=account, parent=parent, kind=kind, **given)
