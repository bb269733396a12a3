"""Scenarios: `tests/cases/*.json`, read, understood and played to whoever can speak to a ledger (see its README)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

CASES = Path(__file__).parent / "cases"
APPLIED, REJECTED = "coins.CommandApplied.v1", "coins.CommandRejected.v1"


class Speaker(Protocol):
    """The public face of a ledger: `coins send --wait`, `coins balance`, `coins statement`, or what stands for them."""

    def send(self, event: dict[str, Any]) -> dict[str, Any]:
        """A command in the short form of `coins send`; its outcome event."""

    def balance(self, account: str) -> dict[str, Any]:
        """What `coins balance ACCOUNT --json` shows."""

    def statement(self, account: str) -> list[dict[str, Any]]:
        """The lines of `coins statement ACCOUNT --json`, newest first."""


@dataclass(frozen=True)
class Case:
    """A scenario as it stands in its file."""

    name: str
    about: str
    steps: list[dict[str, Any]]

    @property
    def reasons(self) -> set[str]:
        """For which reasons its commands are refused."""
        return {step["reason"] for step in self.steps if "reason" in step}


def cases() -> list[Case]:
    """Every scenario, by name."""
    return [read(path) for path in sorted(CASES.glob("*.json"))]


def read(path: Path) -> Case:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["name"] == path.stem, f"{path.name} calls itself {content['name']}"
    return Case(content["name"], content["about"], content["steps"])


def play(case: Case, speaker: Speaker) -> None:
    """Every step of the scenario, in order. Raises AssertionError with the step that went otherwise."""
    kept: dict[str, Any] = {}
    for number, step in enumerate(case.steps, 1):
        told = f"{case.name}, step {number}: {json.dumps(step)}"
        meant = _meant(step, case.name, kept)
        if "send" in meant:
            _send(meant, speaker, kept, told)
        elif "balance" in meant:
            _compare(speaker.balance(meant["balance"]), meant["is"], told)
        elif "statement" in meant:
            lines = speaker.statement(meant["statement"])
            assert len(lines) >= len(meant["newest"]), f"{told}\nonly {len(lines)} lines"
            for line, expected in zip(lines, meant["newest"], strict=False):
                _compare(line, expected, told)
        else:
            raise AssertionError(f"{told}\nis no step that is known")


def _send(meant: dict[str, Any], speaker: Speaker, kept: dict[str, Any], told: str) -> None:
    outcome = speaker.send(meant["send"])
    data = outcome["data"]
    shown = f"{told}\nwas answered {json.dumps(outcome)}"
    assert outcome["type"] == (APPLIED if meant["expect"] == "applied" else REJECTED), shown
    assert data["reason"] == meant.get("reason"), shown
    if "duplicate" in meant:
        assert data["duplicate"] is meant["duplicate"], shown
    if "keep" in meant:
        assert data["transaction"], shown
        kept[meant["keep"]] = data["transaction"]


def _compare(found: dict[str, Any], expected: dict[str, Any], told: str) -> None:
    for name, value in expected.items():
        assert name in found, f"{told}\nshows no {name}: {found}"
        assert found[name] == value, f"{told}\n{name} is {found[name]!r}, expected {value!r}: {found}"


def _meant(value: Any, name: str, kept: dict[str, Any]) -> Any:
    """`$x` is an id of this scenario alone, `@x` what was kept under that name."""
    match value:
        case str() if value.startswith("$"):
            return f"{name}-{value[1:]}"
        case str() if value.startswith("@"):
            return kept[value[1:]]
        case list():
            return [_meant(one, name, kept) for one in value]
        case dict():
            return {key: _meant(one, name, kept) for key, one in value.items()}
        case _:
            return value
