"""The contract with no code of ours: XADD in, XREAD out, over a bare socket."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.system.site import Site, until

pytestmark = pytest.mark.system


class BareClient:
    """Speaks the server's protocol and knows nothing of commands."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(url.removeprefix("unix://"))
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> BareClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def __call__(self, *words: str | bytes) -> Any:
        given = [word.encode() if isinstance(word, str) else word for word in words]
        self._socket.sendall(
            b"*%d\r\n" % len(given) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in given)
        )
        return self._answer()

    def _answer(self) -> Any:
        line = self._file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return self._file.read(int(rest) + 2)[:-2] if rest != b"-1" else None
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))] if rest != b"-1" else None
        assert kind in b"+:", line
        return rest


def command(source: str, id_: str, type_: str, **data: Any) -> str:
    return json.dumps(
        {"specversion": "1.0", "id": id_, "source": source, "type": f"coins.{type_}.v1", "data": data}
    )


def outcomes(client: BareClient, producer: str, number: int) -> list[dict[str, Any]]:
    """As many outcomes as are waited for, as they stand in the producer's stream, with the field `type` checked."""

    def read() -> list[Any]:
        return client("XRANGE", f"coins:events:{producer}", "-", "+") or []

    until(lambda: len(read()) >= number, 15)
    found = []
    for _, fields in read():
        assert fields[0::2] == [b"event", b"type"]
        event = json.loads(fields[1])
        assert event["type"].encode() == fields[3]
        found.append(event)
    assert len(found) == number
    return found


def test_ten_commands_written_with_xadd_alone_come_back_as_ten_outcomes(site: Site) -> None:
    with BareClient(site.edge_url) as client:
        opening = command(
            "shop", "1", "OpenAccount", account="shop", parent="platform", kind="enterprise", name="S"
        )
        for body in [
            opening,
            *(command("shop", f"{n}", "TopUp", account="shop", amount=n) for n in range(2, 11)),
        ]:
            client("XADD", "coins:commands:0:shop", "*", "event", body)
        events = outcomes(client, "shop", 10)
    assert [event["causationid"] for event in events] == [f"{number}" for number in range(1, 11)]
    assert len({event["id"] for event in events}) == 10
    last = events[-1]
    assert last["specversion"] == "1.0"
    assert last["source"] == "coins"
    assert last["type"] == "coins.CommandApplied.v1"
    assert last["data"]["command"] == {"source": "shop", "id": "10", "type": "coins.TopUp.v1"}
    assert last["data"]["duplicate"] is False
    assert last["data"]["reason"] is None
    assert last["data"]["transaction"].startswith("T-")
    assert last["data"]["accounts"] == [
        {"account": "shop", "credit": 54, "credit_limit": 0, "frozen": 0, "available": 54}
    ]


def test_on_the_common_stream_the_producer_is_the_source_up_to_the_slash(site: Site) -> None:
    with BareClient(site.edge_url) as client:
        for source in ("alpha", "beta/part.1", "alpha/b"):
            body = command(source, "1", "TopUp", account="nobody", amount=1)
            client("XADD", "coins:commands:0", "*", "event", body)
        sources = [event["data"]["command"]["source"] for event in outcomes(client, "alpha", 2)]
        assert sources == ["alpha", "alpha/b"]
        (event,) = outcomes(client, "beta", 1)
        assert event["data"]["reason"] == "account_not_found"


def test_an_array_is_one_message_and_its_events_are_decided_in_order(site: Site) -> None:
    events = [
        command("arrays", "1", "OpenAccount", account="arr", parent="platform", kind="enterprise", name="A"),
        command("arrays", "2", "TopUp", account="arr", amount=5),
        command("arrays", "3", "TopUp", account="arr", amount=0),
        command("arrays", "2", "TopUp", account="arr", amount=5),
    ]
    with BareClient(site.edge_url) as client:
        client("XADD", "coins:commands:0:arrays", "*", "event", f"[{','.join(events)}]")
        said = outcomes(client, "arrays", 4)
    assert [(one["causationid"], one["data"]["reason"], one["data"]["duplicate"]) for one in said] == [
        ("1", None, False),
        ("2", None, False),
        ("3", "invalid_message", False),
        ("2", None, True),
    ]


def test_an_outcome_is_for_the_owner_of_the_stream_whatever_the_source_says(site: Site) -> None:
    with BareClient(site.edge_url) as client:
        body = command("somebody", "1", "TopUp", account="nobody", amount=1)
        client("XADD", "coins:commands:0:owner", "*", "event", body)
        (event,) = outcomes(client, "owner", 1)
        assert event["data"]["command"]["source"] == "somebody"
        assert client("XLEN", "coins:events:somebody") == b"0"


def test_a_message_of_nearly_a_mebibyte_is_decided(site: Site) -> None:
    devices = [f"{number:0>60}" for number in range(500)]
    events = [
        command("heavy", f"{number}", "DebitForDeviceOnboarding", account="nobody", devices=devices, price=1)
        for number in range(30)
    ]
    body = f"[{','.join(events)}]"
    assert 900_000 < len(body) < 1_048_576
    with BareClient(site.edge_url) as client:
        client("XADD", "coins:commands:0:heavy", "*", "event", body)
        assert {one["data"]["reason"] for one in outcomes(client, "heavy", 30)} == {"account_not_found"}
