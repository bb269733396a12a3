"""`coins producer`: who may send, with which secret, and the access rules of the edge's server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from console.cli.processes import DataDir
from messages.errors import MessagesError
from workers.errors import NotReady, SettingsInvalid
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
        "--acl", help="Where the server's access rules go.", show_default="users.acl beside the file"
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
        say(f"{name} may send nothing yet: coins producer allow {name} --commands A,B --under ACCOUNT")
    published = _publish_access(file, acl, settings)
    told = {"producer": name, "may_send": _may_send(rules), **_told(made[name], settings, file)}
    system = made.get(SYSTEM_USER)
    if system is not None and name != SYSTEM_USER:
        told["system"] = {"user": SYSTEM_USER, "password": system.password}
    _tell(told, published, as_json=json_)


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
        _publish_access(file, acl, settings, ending=name).tell()
        return
    made = enrolling.rotate(file, name)
    published = _publish_access(file, acl, settings)
    if not json_:
        say(f"the old ones stay valid until: coins producer rotate {name} --finish")
    _tell(_told(made, settings, file), published, as_json=json_)


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
    _publish_access(file, acl, settings, ending=name).tell()


def access(file: File = None, acl: Acl = None, data: DataDir = None) -> None:
    """Write the server's access rules anew, and bring them into force: after a change of COINS_PARTITIONS, or by hand.

    Example: coins producer access
    """
    from workers.settings import load

    settings = load(data)
    _publish_access(_file(file, settings), acl, settings).tell()


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
                **_streams(one.name, settings),
            }
        )
    columns = [
        Column("producer"),
        Column("may_send"),
        Column("secrets", right=True),
        Column("writes", lambda some: _shown_streams(some)),
        Column("reads"),
    ]
    form = form_of(json=json_, ndjson=ndjson)
    write_rows(form, [_Row(row) for row in rows], columns)


class _Row(dict[str, Any]):
    """A row that tables take, too."""

    def _asdict(self) -> dict[str, Any]:
        return dict(self)


def _file(file: Path | None, settings: Settings) -> Path:
    from workers.producers import PRODUCERS_FILE

    return file or settings.producers_file or settings.data_dir / PRODUCERS_FILE


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


def _streams(name: str, settings: Settings) -> dict[str, Any]:
    from messages.streams import commands_stream, outcomes_stream

    return {
        "writes": [commands_stream(partition, name) for partition in range(settings.partitions)],
        "reads": outcomes_stream(name),
    }


def _shown_streams(streams: list[str]) -> str:
    return streams[0] if len(streams) == 1 else f"{streams[0]} … {streams[-1].rsplit(':', 1)[0]}:…"


class _Access(NamedTuple):
    """What became of the server's access rules, in words, and whether it went well."""

    said: str
    done: bool = True

    def tell(self) -> None:
        """Say it; a producer that is there without its access rules is no success."""
        from console.cli.show import say

        say(self.said)
        if not self.done:
            raise typer.Exit(1)


def _publish_access(
    file: Path, acl: Path | None, settings: Settings, *, ending: str | None = None
) -> _Access:
    """Write the server's access rules, and tell the embedded server where it listens, which ends that user's connections.

    Raises nothing: what has just been made is to be shown in any case.
    """
    from workers.access import ACL_FILE, rules_text, write_private
    from workers.embedded_access import bring_into_force
    from workers.producers import load

    written = acl or file.with_name(ACL_FILE)
    try:
        producers = load(file)
        write_private(written, rules_text(producers, partitions=settings.partitions))
        if bring_into_force(settings, producers, ending=ending):
            return _Access(f"access rules: {written}; the embedded server has them already")
    except (SettingsInvalid, NotReady, MessagesError) as error:
        return _Access(f"the access rules are not in force: {error}", done=False)
    # The server itself ends the connections of a user that it has no more.
    then = f", then: CLIENT KILL USER {ending}" if ending is not None and producers.get(ending) else ""
    return _Access(
        f"access rules: {written}; a server that has it as its aclfile takes them with: ACL LOAD{then}"
    )


def _told(made: Any, settings: Settings, file: Path) -> dict[str, Any]:
    return {
        "producer": made.producer,
        "secret": made.secret,
        "user": made.producer,
        "password": made.password,
        **_streams(made.producer, settings),
        "file": str(file),
    }


def _tell(told: dict[str, Any], published: _Access, *, as_json: bool) -> None:
    from console.cli.show import Column, say, write_fields, write_json

    if as_json:
        write_json(told)
        published.tell()
        return
    shown = {**told, "writes": _shown_streams(told["writes"])}
    system = shown.pop("system", None)
    write_fields([(Column(name), value) for name, value in shown.items()])
    say("secret and password are shown this once")
    if system is not None:
        say(
            f"the system itself logs in at such a server as {system['user']} with the password {system['password']} "
            "(not at the embedded one, which has its own)"
        )
    published.tell()
