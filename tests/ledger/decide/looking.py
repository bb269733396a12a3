"""What a decision says beyond its outcome, before anything is changed by it."""

from __future__ import annotations

from ledger.decide import decide
from ledger.model import Announcement, Applied
from messages.commands import Command
from tests.desk import PureDesk


def announced(desk: PureDesk, command: Command) -> list[Announcement]:
    """The further events that applying the command would send. It is not applied."""
    decision = decide(command, desk.book, desk.now)
    assert isinstance(decision, Applied), decision
    return list(decision.announced)


def told(desk: PureDesk, command: Command) -> tuple[str, str]:
    """For a command that is refused: the reason and what is said to a person."""
    said = desk.ask(command).data
    assert said.reason is not None
    assert said.message is not None
    return said.reason.value, said.message
