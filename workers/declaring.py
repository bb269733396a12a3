"""Bringing the edge into the shape that it needs: `coins migrate` on RabbitMQ. Redis and Valkey need nothing."""

from __future__ import annotations

from typing import Any

from messages.publisher import RABBITMQ
from workers.errors import NotReady
from workers.producers import producers_now
from workers.settings import Settings


def declare_edge(settings: Settings) -> list[str]:
    """Declare what is missing on RabbitMQ; what was done, in words. Raises NotReady, and what `connect` raises."""
    if not settings.edge.startswith(RABBITMQ):
        return []
    from messages.rabbitmq import FAILURES, close, connect, failure
    from workers.topology import Missing, declare, objections, version_of

    connection = connect(settings.edge, name="coins migrate")
    try:
        wanted = _wanted(settings, version_of(connection))
        made = declare(connection, wanted)
        wrong = objections(connection, wanted)
    except Missing as missing:
        raise NotReady(
            f"RabbitMQ: {missing}. Let an administrator import the definitions: coins migrate --definitions rabbitmq.json, "
            "then rabbitmqctl import_definitions < rabbitmq.json"
        ) from None
    except FAILURES as error:
        raise failure(error, "RabbitMQ could not be prepared") from error
    finally:
        close(connection)
    done = f"declared {', '.join(made)}" if made else "RabbitMQ: everything is declared"
    return [done, *(f"warning: {one}" for one in wrong)]


def wrong_at_edge(settings: Settings, connection: Any) -> list[str]:
    """What is declared on RabbitMQ and is not as it has to be, a sentence each. Raises what py-amqp does."""
    from workers.topology import objections, version_of

    return objections(connection, _wanted(settings, version_of(connection)))


def _wanted(settings: Settings, version: tuple[int, ...]) -> Any:
    from workers.topology import topology

    return topology(
        settings.partitions,
        producers_now(settings),
        events_keep=settings.events_keep,
        commands_keep=settings.commands_keep,
        version=version,
    )
