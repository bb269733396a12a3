"""The day as files: messages in chapters, and what is expected of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
MESSAGES_FILE, EXPECTED_FILE = "day.ndjson", "day.expected.json"
DEVICES, CLOUD, OFFICE = "device-mgmt", "cloud-platform", "back-office"
PRODUCERS = (DEVICES, CLOUD, OFFICE)
APPLIED = "applied"
WIDTH = 140
UNKNOWN = "unknown"  # the number of what should have been applied, and was not

Key = tuple[str, str]
Figures = tuple[int, int, int]  # credit, frozen, available
Entry = tuple[str, str, int, str | None]  # account, type, amount, order


class Message(NamedTuple):
    """Bytes for the edge, and who sends them."""

    body: bytes
    producer: str

    def keys(self) -> Iterator[Key]:
        """The key of each event that has one that can be read: so many outcomes must come."""
        for event in events_of(self.body):
            if isinstance(event, dict) and event.get("source") and event.get("id"):
                yield event["source"], event["id"]

    @classmethod
    def of(cls, body: bytes) -> Message:
        """The source of its first event tells who sends it; what cannot be read comes from the devices' side."""
        for event in events_of(body)[:1]:
            if isinstance(event, dict) and isinstance(source := event.get("source"), str):
                return cls(body, source.partition("/")[0])
        return cls(body, DEVICES)


def events_of(body: bytes) -> list[Any]:
    """What a message holds, as far as anybody can read it."""
    try:
        content = json.loads(body)
    except ValueError:
        return []
    return content if isinstance(content, list) else [content]


class Look(NamedTuple):
    """A look at an order that is still running, `after` so many steps, as of that time."""

    after: int
    tells: str
    order: str
    at: str


class Looked(NamedTuple):
    minutes: int
    fee: int


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the day that is over when all its outcomes are there. `worker_dies`: the active one, in the middle.

    One with `tells` is told step by step: each of its messages is one command, is sent when the one before it is answered,
    and is shown with what it is about and what it changed at the accounts that are `watched`.
    """

    title: str
    lines: int
    worker_dies: bool = False
    why: str = ""
    tells: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Evening:
    """What can be ordered only when outcomes have told the numbers of transactions."""

    refunded: Key
    reversed: Key
    recharged_again: dict[str, Any]

    def messages(self, numbers: dict[Key, str]) -> list[Message]:
        """A refund, the same once more, a recharge that bounced, and its reference used again."""
        refund = {
            "transaction": numbers.get(self.refunded, UNKNOWN),
            "note": "the tracker was never delivered",
        }
        bounced = {
            "transaction": numbers.get(self.reversed, UNKNOWN),
            "note": "the bank has returned the wire",
        }
        data = [
            ("refund", "Refund", refund),
            ("refund-again", "Refund", refund),
            ("bounced", "ReverseTopUp", bounced),
            ("recharged-again", "TopUp", self.recharged_again),
        ]
        return [
            Message(encoded(event(OFFICE, f"evening-{id_}", type_, content)), OFFICE)
            for id_, type_, content in data
        ]


class ToldOutcome(NamedTuple):
    """What becomes of a command that is told: its result, whom a refusal names to be asked, and its figures."""

    result: str
    ask: str | None
    figures: dict[str, Figures]
    entries: list[Entry]

    @classmethod
    def of(cls, row: Any) -> ToldOutcome:
        """From JSON, which has lists only."""
        result, ask, figures, entries = row
        return cls(
            result,
            ask,
            {account: tuple(one) for account, one in figures.items()},
            [tuple(one) for one in entries],
        )


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of the day. Keys of the counts: `<command> <applied or the reason>`; of `told`: `<source> <id>`."""

    told: dict[str, ToldOutcome]
    looks: dict[str, Looked]
    outcomes: dict[str, int]
    duplicates: dict[str, int]
    dead_letters: dict[str, int]
    dead_letters_resolved: int
    balances: dict[str, dict[str, int]]
    devices: int
    orders: dict[str, int]
    transactions: int


@dataclass(frozen=True, slots=True)
class Story:
    """A day: its chapters with their messages, the evening, and what is expected after all of it."""

    chapters: list[Chapter]
    messages: list[list[Message]]
    evening: Evening | None
    expected: Expected


def event(
    source: str, id_: str, type_: str, data: dict[str, Any], **attributes: str | None
) -> dict[str, Any]:
    """A CloudEvent, made by hand as any producer would."""
    head = {"specversion": "1.0", "id": id_, "source": source, "type": f"coins.{type_}.v1"}
    return {**head, **{name: value for name, value in attributes.items() if value is not None}, "data": data}


def encoded(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def short_type(type_: str | None) -> str:
    """`coins.TopUp.v1` → `TopUp`, for people."""
    return (type_ or "no type").removeprefix("coins.").removesuffix(".v1")


def read(directory: Path = HERE) -> Story:
    """The day of a directory. Raises OSError, ValueError where it is none."""
    lines = (directory / MESSAGES_FILE).read_bytes().split(b"\n")[:-1]
    content = json.loads((directory / EXPECTED_FILE).read_text(encoding="utf-8"))
    chapters = [
        Chapter(**{**chapter, "looks": [Look(*look) for look in chapter["looks"]]})
        for chapter in content["chapters"]
    ]
    if sum(chapter.lines for chapter in chapters) != len(lines):
        raise ValueError(f"{MESSAGES_FILE} has {len(lines):,} lines, its chapters have another number")
    evening = content["evening"]
    if evening is not None:
        evening = Evening(_key(evening["refunded"]), _key(evening["reversed"]), evening["recharged_again"])
    expected = content["expected"]
    expected["told"] = {key: ToldOutcome.of(row) for key, row in expected["told"].items()}
    expected["looks"] = {order: Looked(*look) for order, look in expected["looks"].items()}
    return Story(chapters, list(_split(lines, chapters)), evening, Expected(**expected))


def write(story: Story, directory: Path) -> None:
    """Write the two files of a day; the same day gives the same bytes."""
    bodies = [message.body for chapter in story.messages for message in chapter]
    (directory / MESSAGES_FILE).write_bytes(b"".join(body + b"\n" for body in bodies))
    content = {
        "chapters": [asdict(chapter) for chapter in story.chapters],
        "evening": asdict(story.evening) if story.evening else None,
        "expected": asdict(story.expected),
    }
    (directory / EXPECTED_FILE).write_text(f"{_laid_out(content)}\n", encoding="utf-8")


def _laid_out(content: Any, depth: int = 0) -> str:
    """JSON to be read and compared by people: what fits on a line stands on one."""
    line = json.dumps(content, ensure_ascii=False)
    if len(line) + 2 * depth <= WIDTH or not isinstance(content, dict | list):
        return line
    space = "  " * (depth + 1)
    if isinstance(content, dict):
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {_laid_out(value, depth + 1)}"
            for name, value in content.items()
        ]
        opened, closed = "{", "}"
    else:
        parts = [_laid_out(value, depth + 1) for value in content]
        opened, closed = "[", "]"
    inner = ",\n".join(f"{space}{part}" for part in parts)
    return f"{opened}\n{inner}\n{space[2:]}{closed}"


def _split(lines: Sequence[bytes], chapters: Sequence[Chapter]) -> Iterator[list[Message]]:
    start = 0
    for chapter in chapters:
        yield [Message.of(line) for line in lines[start : start + chapter.lines]]
        start += chapter.lines


def _key(pair: Sequence[str]) -> Key:
    source, id_ = pair
    return source, id_
