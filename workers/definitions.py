"""RabbitMQ's definitions: everything that is to be declared, and a user for each producer, as one file to be imported there.

A producer's user may publish to `coins.commands` with its own routing keys, and read the stream of its own outcomes. It may
declare and bind nothing: whoever may declare an exchange of his own can have it pass on, by its arguments, what he may not
publish himself.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ledger.trust import Producer, Producers
from messages.errors import MessagesError
from messages.rabbitmq import close, connect
from messages.streams import COMMANDS_EXCHANGE, SCHEDULER, outcomes_queue
from workers.access import NAMED_PARTITIONS, write_private
from workers.producers import producers_now
from workers.settings import Settings
from workers.topology import LIMITING, Topology, topology, version_of

DEFINITIONS_FILE = "rabbitmq.json"
SYSTEM_USER = SCHEDULER
_OURS = r"^coins\..*$"
_NOTHING = "^$"


def definitions(settings: Settings) -> dict[str, Any]:
    """The document, for the server's release where that can be asked. Raises SettingsInvalid."""
    producers = producers_now(settings)
    vhost = vhost_of(settings.edge)
    wanted = topology(
        settings.partitions,
        producers,
        events_keep=settings.events_keep,
        commands_keep=settings.commands_keep,
        version=_version(settings),
    )
    # Not the virtual host itself: an import would take the description and the tags of one that is there.
    made: dict[str, Any] = {"users": [], "permissions": [], "topic_permissions": []}
    if producers is not None:
        _add_users(made, producers, vhost, settings.partitions)
    return made | _declared(wanted, vhost)


def _version(settings: Settings) -> tuple[int, ...]:
    try:
        connection = connect(settings.edge, timeout_seconds=2)
    except MessagesError:  # it may be there only after these were imported
        return LIMITING
    try:
        return version_of(connection)
    finally:
        close(connection)


def vhost_of(url: str) -> str:
    """The virtual host in a URL of RabbitMQ; `/` where there is none."""
    path = urlsplit(url.partition(";")[0]).path
    return unquote(path[1:]) if path.strip("/") else "/"


def write_definitions(settings: Settings, where: str) -> None:
    """Write the document to a file that only its owner reads, or to stdout where that is `-`. Raises SettingsInvalid."""
    text = json.dumps(definitions(settings), indent=2) + "\n"
    if where == "-":
        sys.stdout.write(text)
    else:
        write_private(Path(where), text)


def _add_users(made: dict[str, Any], producers: Producers, vhost: str, partitions: int) -> None:
    for producer in producers:
        for login in producer.amqp_logins:
            user, _, hashed = login.partition(":")
            made["users"].append(
                {
                    "name": user,
                    "password_hash": hashed,
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "",
                }
            )
            made["permissions"].append({"user": user, "vhost": vhost, **_permissions(producer)})
            if producer.name != SYSTEM_USER:
                made["topic_permissions"].append(
                    {
                        "user": user,
                        "vhost": vhost,
                        "exchange": COMMANDS_EXCHANGE,
                        "write": _keys(producer.name, partitions),
                        "read": _NOTHING,
                    }
                )


def _permissions(producer: Producer) -> dict[str, str]:
    if producer.name == SYSTEM_USER:
        return {"configure": _OURS, "write": _OURS, "read": _OURS}
    return {
        "configure": _NOTHING,
        "write": f"^{re.escape(COMMANDS_EXCHANGE)}$",
        "read": f"^{re.escape(outcomes_queue(producer.name))}$",
    }


def _keys(producer: str, partitions: int) -> str:
    """The routing keys that a producer may publish with, as a regular expression."""
    numbers = "|".join(map(str, range(partitions))) if partitions <= NAMED_PARTITIONS else "[0-9]{1,4}"
    return rf"^{re.escape(producer)}\.({numbers})$"


def _declared(wanted: Topology, vhost: str) -> dict[str, Any]:
    lasting = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "exchanges": [
            {"name": one.name, "type": one.type, "internal": False, "arguments": one.arguments, **lasting}
            for one in wanted.exchanges
        ],
        "queues": [{"name": one.name, "arguments": one.arguments, **lasting} for one in wanted.queues],
        "bindings": [
            {
                "source": one.source,
                "vhost": vhost,
                "destination": one.destination,
                "destination_type": "queue" if one.to_queue else "exchange",
                "routing_key": one.key,
                "arguments": {},
            }
            for one in wanted.bindings
        ],
    }
