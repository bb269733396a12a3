"""The envelope around a command: CloudEvents 1.0 in JSON (CONTRACT §3).

`EVENTS` is the discriminated union of all command events: one validation checks envelope and data together.
Unknown attributes of the envelope are ignored, unknown fields inside `data` are an error.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from .commands import COMMANDS, Command, Part, content_of, type_of
from .fields import MessageId, ShortText, Source, Time

Data = TypeVar("Data", bound=Command)

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_BATCH = 1_000


class Event(BaseModel, Generic[Data]):
    """One command in its envelope. `source` and `id` are the command's key, for ever."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: MessageId = Field(description="with source the command's key, for ever")
    source: Source = Field(description="the producer's name, or begins with it and a `/`")
    type: str
    time: Time | None = None
    expirytime: Time | None = Field(
        None, description="past it the command is rejected `expired`, never applied"
    )
    partitionkey: ShortText | None = Field(None, description="should be the top account")
    actor: ShortText | None = Field(None, description="the person behind it")
    traceparent: ShortText | None = Field(
        None,
        description="`00-<32 hex>-<16 hex>-<2 hex>` (W3C), else it is ignored; outcome and further events carry it on",
    )
    data: Data


def _event_of(name: str, model: type[Command]) -> Any:
    # Made at run time from the table of commands: a type checker cannot follow, pydantic can.
    fields: dict[str, Any] = {
        "specversion": (Literal["1.0"], ...),
        "type": (Literal[type_of(name)], ...),
        "data": (model, ...),
    }
    base: Any = Event[model]  # type: ignore[valid-type]
    return create_model(f"{name}Event", __base__=base, __doc__=model.__doc__, **fields)


EVENT_OF: dict[str, Any] = {type_of(name): _event_of(name, model) for name, model in COMMANDS.items()}
_ANY_EVENT: Any = Union[tuple(EVENT_OF.values())]  # noqa: UP007 - as above
EVENTS: TypeAdapter[Event[Any]] = TypeAdapter(Annotated[_ANY_EVENT, Field(discriminator="type")])


def fingerprint(command: Command) -> bytes:
    """16 bytes of what the command asks for. Key order and spelled-out defaults do not change it.

    Fields that keep their default are left out, so that a field added later changes no old fingerprint.
    """
    content = orjson.dumps([type(command).__name__, content_of(command)], _part, orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=16).digest()


def encode(event: Event[Any]) -> bytes:
    """The event as JSON, without what is not set."""
    return orjson.dumps(event.model_dump(mode="json", exclude_none=True))


def _part(value: Any) -> dict[str, Any]:
    if isinstance(value, Part):
        return value.__dict__
    raise TypeError(f"{type(value).__name__} has no place in a command")
