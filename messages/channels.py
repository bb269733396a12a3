"""The channels of the edge as the AsyncAPI document has them: Redis or Valkey streams, and RabbitMQ's exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PARAMETERS = {
    "partition": {"description": "crc32 of partitionkey, modulo the number of partitions; 0 without a key"},
    "producer": {"description": "the producer's name"},
    "outcome": {"description": "what became of it", "enum": ["applied", "rejected"]},
    "command": {"description": "the command's name, as in TopUp"},
    "top_account": {"description": "the account's ancestor just under platform"},
    "type": {"description": "the event's name, as in BalanceLow"},
}
COMMANDS_EXCHANGE = {"name": "coins.commands", "type": "topic", "durable": True}
EVENTS_EXCHANGE = {"name": "coins.events", "type": "topic", "durable": True}


def channels(commands: Iterable[str], outcomes: Iterable[str], further: Iterable[str]) -> dict[str, Any]:
    """Each channel with the names of its messages."""
    return {
        "commands": _channel(
            "coins:commands:{partition}:{producer}",
            "A Redis or Valkey stream: `XADD <address> * event <json> [signature <signature>]`.",
            commands,
        ),
        "outcomes": _channel(
            "coins:events:{producer}",
            "A Redis or Valkey stream with the fields `event` and `type`.",
            outcomes,
        ),
        "events": _channel(
            "coins:events",
            "A Redis or Valkey stream with the fields `event` and `type`, for everyone allowed to read it.",
            further,
        ),
        "commandsOverRabbitMQ": _channel(
            "{producer}.{partition}",
            "A routing key of the topic exchange `coins.commands`. Persistent, mandatory, with confirms; content type "
            "`application/cloudevents+json`, of an array `application/cloudevents-batch+json`; header `signature`.",
            commands,
            COMMANDS_EXCHANGE,
        ),
        "outcomesOverRabbitMQ": _channel(
            "outcome.{producer}.{outcome}.{command}",
            "A routing key of the topic exchange `coins.events`. They are kept in the stream `coins.events.<producer>`.",
            outcomes,
            EVENTS_EXCHANGE,
        ),
        "eventsOverRabbitMQ": _channel(
            "event.{top_account}.{type}",
            "A routing key of the topic exchange `coins.events`. They are kept in the stream `coins.events`.",
            further,
            EVENTS_EXCHANGE,
        ),
    }


def operations() -> dict[str, Any]:
    """What a producer does on each channel."""
    return {
        f"{verb}{what}{over}": {"action": verb, "channel": {"$ref": f"#/channels/{what.lower()}{over}"}}
        for over in ("", "OverRabbitMQ")
        for verb, what in (("send", "Commands"), ("receive", "Outcomes"), ("receive", "Events"))
    }


def _channel(
    address: str, description: str, messages: Iterable[str], exchange: dict[str, Any] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    if parameters := {name: said for name, said in PARAMETERS.items() if f"{{{name}}}" in address}:
        made["parameters"] = parameters
    if exchange is not None:
        made["bindings"] = {"amqp": {"is": "routingKey", "exchange": exchange}}
    return made
