"""Changes to the producers file: a producer more or less, a rule more, a new secret. All else in it stays as it is written.

A new entry is appended, one that goes is cut out. Of a producer that gets a new secret only `secrets` and logins are
rewritten. What comes out is read back before it is put in place, and has to say just what was meant.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ledger.trust import Producers, Rule
from messages.streams import SCHEDULER
from workers.access import login_of, new_password, password_hash, write_private
from workers.errors import SettingsInvalid
from workers.producers import EVERY, check_name, parse, read_text, tables_of, users_of

COMMAND_LINE = "cli"
OF_THE_SYSTEM = (SCHEDULER, COMMAND_LINE)
LOGINS = ("logins", "amqp_logins")
HEADER = """\
# Who may send commands, and which. Workers read it again within a second when it changes.
#
# `coins producer new` appends an entry, `allow` a rule, `rotate` rewrites the secrets and logins of one producer,
# `remove` takes one out; all else in here is yours, comments too. It holds secrets: mode 0600.
#
# A producer without `rules` may send everything, with `rules = []` nothing.
"""


class Credentials(NamedTuple):
    """What a producer has to be told, once: what it signs with, its password at the edge's server, its user at RabbitMQ."""

    producer: str
    secret: str
    password: str
    amqp_user: str

    @property
    def amqp_login(self) -> str:
        return f"{self.amqp_user}:{password_hash(self.password)}"


def enrol(file: Path, name: str, rules: tuple[Rule, ...] | None) -> dict[str, Credentials]:
    """Add a producer; with the first one `coins` and `cli`, who may send everything. What to tell each, by its name.

    Raises SettingsInvalid.
    """

    def add(text: str, tables: dict[str, Any]) -> str:
        if name in tables:
            raise SettingsInvalid(
                f"{file} has a producer {name} already; for a new secret: coins producer rotate {name}, "
                f"for another rule: coins producer allow {name}"
            )
        for one in wanted:
            tables[one.producer] = _table(one, rules if one.producer == name else None)
            text += _entry(one.producer, tables[one.producer])
        return text

    check_name(name, file)
    names = [name] if file.exists() else list(dict.fromkeys([*OF_THE_SYSTEM, name]))
    wanted = [Credentials(one, new_password(), new_password(), one) for one in names]
    _change(file, add)
    return {one.producer: one for one in wanted}


def allow(file: Path, name: str, rule: Rule) -> None:
    """Add a rule to a producer that has rules. Raises SettingsInvalid."""

    def add(text: str, tables: dict[str, Any]) -> str:
        table = _of(tables, name, file)
        if "rules" not in table:
            raise SettingsInvalid(
                f"{file}: {name} may send everything already; a rule would take the rest away. Edit the file for that."
            )
        if not table["rules"]:
            begin, end = _block(text, name, file)
            # What is written as an empty array can have no tables.
            text = (
                text[:begin]
                + re.sub(r"(?m)^[ \t]*rules[ \t]*=[ \t]*\[\s*\].*\n?", "", text[begin:end])
                + text[end:]
            )
        table["rules"].append(made := _rule(rule))
        return f"{_ended(text)}\n{_rule_text(_prefix(text, name) + name, made)}"

    _change(file, add)


def rotate(file: Path, name: str) -> Credentials:
    """Put a new secret and password in front; the previous ones stay valid. Raises SettingsInvalid."""
    new = Credentials(name, new_password(), new_password(), name)

    def put(text: str, tables: dict[str, Any]) -> str:
        nonlocal new
        table = _of(tables, name, file)
        if len(table["secrets"]) > 1:
            raise SettingsInvalid(
                f"{file}: {name} has two secrets already; when nobody uses the old one any more: "
                f"coins producer rotate {name} --finish"
            )
        table["secrets"] = [new.secret, *table["secrets"]]
        table["logins"] = [login_of(new.password), *table.get("logins", [])[:1]]
        valid = table.get("amqp_logins", [])[:1]
        (new_user, *_) = [
            user for user in users_of(name) if user not in {one.partition(":")[0] for one in valid}
        ]
        new = new._replace(amqp_user=new_user)
        table["amqp_logins"] = [new.amqp_login, *valid]
        return _rewritten(text, name, table, file)

    _change(file, put)
    return new


def finish(file: Path, name: str) -> None:
    """Drop what was valid before the last `rotate`. Raises SettingsInvalid."""

    def drop(text: str, tables: dict[str, Any]) -> str:
        table = _of(tables, name, file)
        if len(table["secrets"]) == 1:
            raise SettingsInvalid(f"{file}: {name} has one secret; begin with: coins producer rotate {name}")
        table["secrets"] = table["secrets"][:1]
        for key in LOGINS:
            table[key] = table.get(key, [])[:1]
        return _rewritten(text, name, table, file)

    _change(file, drop)


def remove(file: Path, name: str) -> None:
    """Take a producer out, with its rules: nothing that it sends is taken any more. Raises SettingsInvalid."""

    def cut(text: str, tables: dict[str, Any]) -> str:
        _of(tables, name, file)
        del tables[name]
        return _without(text, name)

    if name in OF_THE_SYSTEM:
        raise SettingsInvalid(
            f"{name} is the system's own and stays; for a new secret: coins producer rotate {name}"
        )
    _change(file, cut)


def _change(file: Path, edit: Callable[[str, dict[str, Any]], str]) -> Producers:
    """Write the text that `edit` makes of the file's, if it says what `edit` has made of its tables."""
    with _alone(file):
        text = read_text(file) if file.exists() else HEADER
        parse(text, file)  # what cannot be used is to be mended first
        meant = copy.deepcopy(tables_of(tomllib.loads(text), file))
        changed = edit(text, meant)
        try:
            says = tables_of(tomllib.loads(changed), file)
        except tomllib.TOMLDecodeError:
            says = {}
        if says != meant:
            raise SettingsInvalid(
                f"{file} is written in a way that cannot be changed by program; write each producer as a table "
                "[producers.NAME] with its rules as [[producers.NAME.rules]], or change it by hand"
            )
        producers = parse(changed, file)
        write_private(file, changed)
    return producers


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Nobody else changes a file in this directory meanwhile."""
    directory = Path(os.path.realpath(file)).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise SettingsInvalid(f"{directory} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(room, fcntl.LOCK_EX)
        yield
    finally:
        os.close(room)


def _of(tables: dict[str, Any], name: str, file: Path) -> dict[str, Any]:
    if name not in tables:
        known = ", ".join(sorted(tables)) or "nobody"
        raise SettingsInvalid(f"{file} has no producer {name}, but {known}; run: coins producer new {name}")
    table: dict[str, Any] = tables[name]
    return table


def _table(one: Credentials, rules: tuple[Rule, ...] | None) -> dict[str, Any]:
    table: dict[str, Any] = {
        "secrets": [one.secret],
        "logins": [login_of(one.password)],
        "amqp_logins": [one.amqp_login],
    }
    return table if rules is None else {**table, "rules": [_rule(rule) for rule in rules]}


def _rule(rule: Rule) -> dict[str, Any]:
    commands = [EVERY] if rule.commands is None else sorted(rule.commands)
    return {"commands": commands, "under": rule.under, "itself": rule.itself}


def _entry(name: str, table: dict[str, Any]) -> str:
    lines = [f"\n[producers.{name}]\n"]
    lines += [f"{key} = {_texts(table[key])}\n" for key in ("secrets", *LOGINS)]
    if table.get("rules") == []:
        lines.append("rules = []\n")
    return "".join(lines) + "".join(_rule_text(f"producers.{name}", rule) for rule in table.get("rules", ()))


def _rule_text(producer: str, rule: dict[str, Any]) -> str:
    return (
        f"[[{producer}.rules]]\ncommands = {_texts(rule['commands'])}\n"
        f'under = "{rule["under"]}"\nitself = {str(rule["itself"]).lower()}\n'
    )


def _texts(values: list[str]) -> str:
    # What JSON has of texts, TOML reads alike.
    return json.dumps(values)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _prefix(text: str, name: str) -> str:
    inner = tomllib.loads(text).get("producers")
    return "producers." if isinstance(inner, dict) and name in inner else ""


def _header_of(name: str) -> str:
    """The pattern of what stands between the brackets of a producer's table."""
    return rf"[ \t]*(producers[ \t]*\.[ \t]*)?[\"']?{name}[\"']?[ \t]*"


def _without(text: str, name: str) -> str:
    """The text without a producer's table and its rules. Comments that stand before another table stay with that."""
    its_own = re.compile(
        rf"[ \t]*(\[{_header_of(name)}\]|\[\[{_header_of(name)}\.[ \t]*[\"']?rules[\"']?[ \t]*\]\])"
    )
    kept: list[str] = []
    for block in re.split(r"^(?=[ \t]*\[)", text, flags=re.M):
        if its_own.match(block) is None:
            kept.append(block)
            continue
        after = re.search(r"(^[ \t]*(#.*)?\n?)*\Z", block, re.M)
        if after is not None and "#" in after[0]:
            kept.append(after[0])
    return "".join(kept)


def _rewritten(text: str, name: str, table: dict[str, Any], file: Path) -> str:
    """The text with the producer's secrets and logins as the table has them."""
    begin, end = _block(text, name, file)
    block = text[begin:end]
    for key in (*reversed(LOGINS), "secrets"):
        line = f"{key} = {_texts(table[key])}"
        written = re.search(rf"^[ \t]*{key}[ \t]*=[ \t]*\[[^\]]*\]", block, re.M)
        if written is None:
            block = f"\n{line}{block}"
        else:
            block = block[: written.start()] + line + block[written.end() :]
    return text[:begin] + block + text[end:]


def _block(text: str, name: str, file: Path) -> tuple[int, int]:
    """Where the lines of the producer's own table stand: behind its header, up to the next one."""
    header = re.search(rf"^[ \t]*\[{_header_of(name)}\].*$", text, re.M)
    if header is None:
        raise SettingsInvalid(
            f"{file}: {name} is no table of its own; write it as [producers.{name}] and try again"
        )
    following = re.compile(r"^[ \t]*\[", re.M).search(text, header.end())
    return header.end(), following.start() if following else len(text)
