"""`coins producer`: who may send, with which secret, and the access rules of the edge's server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from console.cli.processes import DataDir
from console.cli.producer_access import (
    file_option,
    producers_file,
    publish_access,
    runs_without,
    shown_streams,
    streams,
    tell_all,
    told_of,
)
from workers.errors import SettingsInvalid
from workers.settings import Settings

producer = typer.Typer(
    no_args_is_help=True, help="Who may send: the producers file, secrets, the server's access rules."
)

Name = Annotated[str, typer.Argument(help="The producer: letters, digits, underscores and hyphens.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", help="The producers file.", show_default="COINS_PRODUCERS_FILE, else DIR/producers.toml"
    ),
]
Acl = Annotated[
    Path | None,
    typer.Option(
        "--acl",
        help="Where the server's access rules go.",
        show_default="users.acl beside the file; rabbitmq.json for RabbitMQ",
    ),
]
Commands = Annotated[str | None, typer.Option(help="Which it may send, as in TopUp,Renewal; '*' is all.")]
Under = Annotated[
    str | None, typer.Option(help="For accounts under this one; platform is everybody.", metavar="ACCOUNT")
]
Itself = Annotated[bool, typer.Option("--itself/--no-itself", help="Whether for that account itself, too.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    producer.command("new")(new)
    producer.command("allow")(allow)
    producer.command("rotate")(rotate)
    producer.command("remove")(remove)
    producer.command("access")(access)
    producer.command("list")(list_)
    app.add_typer(producer, name="producer")


@producer.callback()
def _producer() -> None:
    """Who may send: the producers file, secrets, the server's access rules."""


def new(
    name: Name,
    commands: Commands = None,
    under: Under = None,
    itself: Itself = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="No rules: it may send everything.")
    ] = False,
    file: File = None,
    acl: Acl = None,
    json_: Json = False,
    data: DataDir = None,
) -> None:
    """Add a producer, and print once what it has to be told: its secret, its login, its streams.

    The first one makes the file, with entries for the scheduler (coins) and the command line (cli).

    Example: coins producer new device-mgmt --commands DebitForDeviceOnboarding,Renewal --under acme --itself
    """
    from console.cli.show import say
    from workers.access import SYSTEM_USER
    from workers.enrolling import OF_THE_SYSTEM, enrol
    from workers.settings import load

    settings = load(data)
    file = _file(file, settings)
    if everything and (commands or under):
        raise SettingsInvalid(
            "--everything stands alone: without it, --commands and --under say what it may send"
        )
    rules: tuple[Any, ...] | None
    if everything or (name in OF_THE_SYSTEM and not (commands or under)):
        rules = None
    elif under is None and commands is None:
        rules = ()  # nothing until it is allowed
    elif under is None or commands is None:
        raise SettingsInvalid(
            f"say what {name} may send: --commands A,B (or '*') --under ACCOUNT [--itself], or --everything"
        )
    else:
        rules = (_rule(commands, under, itself),)
    made = enrol(file, name, rules)
    if rules == ():
        option = file_option(file, settings)
        say(
            f"{name} may send nothing yet: coins producer allow {name} --commands A,B --under ACCOUNT{option}"
        )
    if runs_without(settings, file):
        say(
            "warning: the running system was started without a producers file, and goes on taking every command: stop "
            "`coins up` and start it again"
        )
    published = publish_access(file, acl, settings)
    told = {"producer": name, "may_send": _may_send(rules), **told_of(made[name], settings, file)}
    system = made.get(SYSTEM_USER)
    if system is not None and name != SYSTEM_USER:
        told["system"] = {"user": SYSTEM_USER, "password": system.password}
    tell_all(told, published, as_json=json_)


def allow(
    name: Name,
    under: Under = None,
    commands: Commands = None,
    itself: Itself = False,
    file: File = None,
    data: DataDir = None,
) -> None:
    """Add a rule to a producer: more commands, or another account.

    Example: coins producer allow device-mgmt --commands ReleaseDevice --under acme
    """
    from console.cli.show import say
    from workers.enrolling import allow as add
    from workers.settings import load

    if under is None:
        raise SettingsInvalid("say for whom: --under ACCOUNT, or --under platform for everybody")
    if commands is None:
        raise SettingsInvalid(f"say what {name} may send: --commands A,B, or --commands '*' for all")
    file = _file(file, load(data))
    rule = _rule(commands, under, itself)
    add(file, name, rule)
    say(f"{name} may also send {_rule_in_words(rule)}; workers know within a second")


def rotate(
    name: Name,
    finish: Annotated[
        bool, typer.Option("--finish", help="Drop the old secret and password: nobody uses them any more.")
    ] = False,
    file: File = None,
    acl: Acl = None,
    json_: Json = False,
    data: DataDir = None,
) -> None:
    """Give a producer a new secret and password; the old ones stay valid until `--finish`.

    Example: coins producer rotate device-mgmt
    """
    from console.cli.show import say
    from workers import enrolling
    from workers.settings import load

    settings = load(data)
    file = _file(file, settings)
    if finish:
        enrolling.finish(file, name)
        say(f"the old secret and password of {name} are not valid any more")
        publish_access(file, acl, settings, ending=name).tell()
        return
    made = enrolling.rotate(file, name)
    published = publish_access(file, acl, settings)
    if not json_:
        option = file_option(file, settings)
        say(f"the old ones stay valid until: coins producer rotate {name} --finish{option}")
    tell_all(told_of(made, settings, file), published, as_json=json_)


def remove(name: Name, file: File = None, acl: Acl = None, data: DataDir = None) -> None:
    """Take a producer out: its secret, its login and its rules are not valid any more, its connections end.

    Example: coins producer remove device-mgmt
    """
    from console.cli.show import say
    from workers import enrolling
    from workers.settings import load

    settings = load(data)
    file = _file(file, settings)
    enrolling.remove(file, name)
    say(f"{name} is no producer any more; workers know within a second")
    publish_access(file, acl, settings, ending=name).tell()


def access(file: File = None, acl: Acl = None, data: DataDir = None) -> None:
    """Write the server's access rules anew, and bring them into force: after a change of COINS_PARTITIONS, or by hand.

    Example: coins producer access
    """
    from workers.settings import load

    settings = load(data)
    publish_access(_file(file, settings), acl, settings).tell()


def list_(
    file: File = None,
    json_: Json = False,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="A line of JSON for each.")] = False,
    data: DataDir = None,
) -> None:
    """Who may send what, and where; never a secret."""
    from console.cli.show import Column, form_of, write_rows
    from workers.producers import EVERY, load
    from workers.settings import load as load_settings

    settings = load_settings(data)
    rows = []
    for one in load(_file(file, settings)):
        rules = [
            {
                "commands": sorted(rule.commands) if rule.commands is not None else [EVERY],
                "under": rule.under,
                "itself": rule.itself,
            }
            for rule in one.rules or ()
        ]
        rows.append(
            {
                "producer": one.name,
                "everything": one.rules is None,
                "rules": rules,
                "may_send": _may_send(one.rules),
                "secrets": len(one.secrets),
                "logins": len(one.logins),
                **streams(one.name, settings),
            }
        )
    columns = [
        Column("producer"),
        Column("may_send"),
        Column("secrets", right=True),
        Column("writes", lambda some: shown_streams(some)),
        Column("reads"),
    ]
    form = form_of(json=json_, ndjson=ndjson)
    write_rows(form, [_Row(row) for row in rows], columns)


class _Row(dict[str, Any]):
    """A row that tables take, too."""

    def _asdict(self) -> dict[str, Any]:
        return dict(self)


def _file(file: Path | None, settings: Settings) -> Path:
    return file or producers_file(settings)


def _rule(commands: str, under: str, itself: bool) -> Any:
    from ledger.trust import Rule
    from messages.commands import COMMANDS
    from workers.producers import EVERY

    named = [one.strip() for one in commands.split(",") if one.strip()]
    if unknown := [one for one in named if one != EVERY and one not in COMMANDS]:
        raise SettingsInvalid(f"--commands: {unknown[0]} is no command; `coins do` lists them")
    return Rule(None if EVERY in named else frozenset(named), under, itself)


def _may_send(rules: Any) -> str:
    return "everything" if rules is None else "; ".join(map(_rule_in_words, rules)) or "nothing"


def _rule_in_words(rule: Any) -> str:
    commands = "everything" if rule.commands is None else ", ".join(sorted(rule.commands))
    if rule.everywhere:
        return f"{commands} for everybody"
    return (
        f"{commands} for {rule.under} and what is under it"
        if rule.itself
        else f"{commands} under {rule.under}"
    )
