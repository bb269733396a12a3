"""What `coins producer` tells of a producer once it is there, and the access rules of the edge's server for it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import typer

from messages.errors import MessagesError
from workers.errors import NotReady, SettingsInvalid
from workers.settings import Settings


def streams(name: str, settings: Settings) -> dict[str, Any]:
    from messages.streams import (
        COMMANDS_EXCHANGE,
        commands_stream,
        outcomes_queue,
        outcomes_stream,
        routing_key,
    )

    if on_rabbitmq(settings):
        return {
            "exchange": COMMANDS_EXCHANGE,
            "writes": [routing_key(partition, name) for partition in range(settings.partitions)],
            "reads": outcomes_queue(name),
        }
    return {
        "writes": [commands_stream(partition, name) for partition in range(settings.partitions)],
        "reads": outcomes_stream(name),
    }


def shown_streams(streams: list[str]) -> str:
    return streams[0] if len(streams) == 1 else f"{streams[0]} … {streams[-1]}"


def on_rabbitmq(settings: Settings) -> bool:
    from messages.publisher import RABBITMQ

    return settings.edge_url is not None and settings.edge.startswith(RABBITMQ)


def runs_without(settings: Settings, file: Path) -> bool:
    """Whether an embedded system runs under the data directory that does not go by this file."""
    from workers.settings import embedded_endpoints

    found = embedded_endpoints(settings.data_dir)
    return bool(found) and Path(found.get("producers_file", "")).resolve() != file.resolve()


def producers_file(settings: Settings) -> Path:
    """Where no option names another one."""
    from workers.producers import PRODUCERS_FILE

    return settings.producers_file or settings.data_dir / PRODUCERS_FILE


def file_option(file: Path, settings: Settings) -> str:
    """What a command that is suggested needs besides, for the same file."""
    return "" if file == producers_file(settings) else f" --file {quote(str(file))}"


class Access(NamedTuple):
    """What became of the server's access rules, in words, and whether it went well."""

    said: str
    done: bool = True

    def tell(self) -> None:
        """Say it; a producer that is there without its access rules is no success."""
        from console.cli.show import say

        say(self.said)
        if not self.done:
            raise typer.Exit(1)


def publish_access(file: Path, acl: Path | None, settings: Settings, *, ending: str | None = None) -> Access:
    """Write the server's access rules, and tell the embedded server where it listens, which ends that user's connections.

    Raises nothing: what has just been made is to be shown in any case.
    """
    from workers.access import ACL_FILE, rules_text, write_private
    from workers.embedded_access import bring_into_force
    from workers.producers import load

    if on_rabbitmq(settings):
        return _publish_definitions(file, acl, settings, ending=ending)
    written = acl or file.with_name(ACL_FILE)
    try:
        producers = load(file)
        rules = rules_text(producers, partitions=settings.partitions, options=file_option(file, settings))
        write_private(written, rules)
        if bring_into_force(settings, producers, ending=ending):
            return Access(f"access rules: {written}; the embedded server has them already")
    except (SettingsInvalid, NotReady, MessagesError) as error:
        return Access(f"the access rules are not in force: {error}", done=False)
    # The server itself ends the connections of a user that it has no more.
    then = f", then: CLIENT KILL USER {ending}" if ending is not None and producers.get(ending) else ""
    return Access(
        f"access rules: {written}; a server that has it as its aclfile takes them with: ACL LOAD{then}"
    )


def _publish_definitions(
    file: Path, written: Path | None, settings: Settings, *, ending: str | None
) -> Access:
    """Write RabbitMQ's definitions, with a user for each producer; users that are not valid any more have to be deleted."""
    from workers.definitions import DEFINITIONS_FILE, write_definitions
    from workers.producers import load, users_of

    written = written or file.with_name(DEFINITIONS_FILE)
    try:
        producers = load(file)
        write_definitions(settings.model_copy(update={"producers_file": file}), str(written))
    except (SettingsInvalid, NotReady, MessagesError) as error:
        return Access(f"RabbitMQ's definitions are not written: {error}", done=False)
    then = ""
    if ending is not None:
        producer = producers.get(ending)
        valid = {one.partition(":")[0] for one in producer.amqp_logins} if producer is not None else set()
        gone = [user for user in users_of(ending) if user not in valid]
        then = ", then: " + "; ".join(
            f"rabbitmqctl delete_user {user}; rabbitmqctl close_all_user_connections {user} removed"
            for user in gone
        )
    return Access(
        f"definitions: {written}; RabbitMQ takes them with: rabbitmqctl import_definitions < {written}{then}"
    )


def told_of(made: Any, settings: Settings, file: Path) -> dict[str, Any]:
    return {
        "producer": made.producer,
        "secret": made.secret,
        "user": made.amqp_user if on_rabbitmq(settings) else made.producer,
        "password": made.password,
        **streams(made.producer, settings),
        "file": str(file),
    }


def tell_all(told: dict[str, Any], published: Access, *, as_json: bool) -> None:
    from console.cli.show import Column, say, write_fields, write_json

    if as_json:
        write_json(told)
        published.tell()
        return
    shown = {**told, "writes": shown_streams(told["writes"])}
    system = shown.pop("system", None)
    write_fields([(Column(name), value) for name, value in shown.items()])
    say("secret and password are shown this once")
    if system is not None:
        own = "" if "exchange" in told else " (not at the embedded one, which has its own)"
        say(
            f"the system itself logs in at such a server as {system['user']} with the password {system['password']}{own}"
        )
    published.tell()
