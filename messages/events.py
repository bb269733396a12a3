"""What comes out: outcomes of commands, and further events (CONTRACT §5), as CloudEvents 1.0 in JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from messages.fields import Time
from messages.reasons import Reason

SOURCE = "coins"


class EventType(StrEnum):
    APPLIED = "coins.CommandApplied.v1"
    REJECTED = "coins.CommandRejected.v1"


class _Shape(BaseModel):
    """Events grow: a reader ignores fields it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CommandKey(_Shape):
    """The command that an outcome answers."""

    source: str
    id: str
    type: str | None


class AccountFigures(_Shape):
    """What an account named by the command has now, in the smallest unit.

    `available` is null for a `shared` account: what it could spend is its master's, and that is not told here.
    """

    account: str
    credit: int
    credit_limit: int
    frozen: int
    available: int | None


class Outcome(_Shape):
    """What became of a command. `duplicate`: it had been decided before, and nothing was applied now."""

    command: CommandKey
    duplicate: bool
    reason: Reason | None
    message: str | None = Field(description="for a person")
    transaction: str | None = Field(description="its number on statements")
    accounts: list[AccountFigures]


class _OutcomeEvent(_Shape):
    specversion: Literal["1.0"]
    id: str = Field(description="the same on every publication of this event")
    source: Literal["coins"]
    time: Time
    causationid: str = Field(description="the command's id")
    datacontenttype: Literal["application/json"]
    data: Outcome


class CommandApplied(_OutcomeEvent):
    """The command is decided and applied."""

    type: Literal["coins.CommandApplied.v1"]


class CommandRejected(_OutcomeEvent):
    """The command is decided and nothing was applied; `data.reason` says why."""

    type: Literal["coins.CommandRejected.v1"]


OUTCOMES: TypeAdapter[CommandApplied | CommandRejected] = TypeAdapter(
    Annotated[CommandApplied | CommandRejected, Field(discriminator="type")]
)
EVENT_MODELS: tuple[type[BaseModel], ...] = (CommandApplied, CommandRejected)
