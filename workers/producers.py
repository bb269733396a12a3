"""The producers file (CONTRACT §3): TOML that says who may send what, read at start-up and again whenever it changes.

[producers.device-mgmt]
secrets = ["…", "…"]               # one or two, both valid; the first is the one to sign with
logins = ["…"]                     # SHA-256, in hex, of its passwords at the edge's server; optional
amqp_logins = ["device-mgmt:…"]    # its users at RabbitMQ, and the hashes of their passwords; optional
[[producers.device-mgmt.rules]]    # without the key `rules` it may send everything, with `rules = []` nothing
commands = ["TopUp", "Renewal"]    # or ["*"]
under = "acme"                     # "platform" is everybody
itself = true                      # whether `under` itself is included; default false
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from ledger.trust import Producer, Producers, Rule
from messages.commands import COMMANDS
from messages.fields import ID_PATTERN, NAME_PATTERN
from workers.errors import SettingsInvalid
from workers.settings import Settings

# Under the data directory, where no other file is named.
PRODUCERS_FILE = "producers.toml"
LEAST_SECRET_BYTES = 16
MOST_SECRETS = 2
LOOK_SECONDS = 1.0
EVERY = "*"
# The server's own user, who is switched off.
RESERVED = frozenset({"default"})
_LOGIN = re.compile(r"[0-9a-f]{64}")
_HASH = "[A-Za-z0-9+/]{48}"

log = structlog.get_logger(__name__)


def load(file: Path) -> Producers:
    """Read a producers file. Raises SettingsInvalid: the file, the producer, the key, and what to write instead."""
    return parse(read_text(file), file)


def parse(text: str, file: Path) -> Producers:
    """Producers of a file's text; `file` is for the messages. Raises SettingsInvalid."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{file}: no TOML: {error}") from None
    producers = {
        name: _Reading(file, name).producer(table) for name, table in tables_of(content, file).items()
    }
    by_secret: dict[str, str] = {}
    for one in producers.values():
        for secret in one.secrets:
            if (other := by_secret.setdefault(secret, one.name)) != one.name:
                raise SettingsInvalid(
                    f"{file}: {other} and {one.name} have the same secret; give each producer its own"
                )
    return Producers(producers)


def tables_of(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """Each producer's table: under `producers`, or at the top. Raises SettingsInvalid where one is in both places."""
    tables = dict(content)
    # A table of tables; what has secrets of its own is a producer that is called so.
    inner = tables.get("producers")
    if isinstance(inner, dict) and not isinstance(inner.get("secrets"), list):
        del tables["producers"]
        if twice := tables.keys() & inner.keys():
            raise SettingsInvalid(f"{file}: {min(twice)} is there twice; keep one of them")
        tables |= inner
    return tables


def users_of(name: str) -> tuple[str, str]:
    """The users that a producer may have at RabbitMQ, which knows one password of each: a new one comes with the other."""
    return name, f"{name}.2"


def check_name(name: str, file: Path) -> None:
    """Whether a producer of that file may be called so. Raises SettingsInvalid."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise SettingsInvalid(
            f"{file}: {name!r} is no name of a producer; use 1 to 64 letters, digits, underscores and hyphens"
        )
    if name in RESERVED:
        raise SettingsInvalid(f"{file}: {name} is a user of the server itself; choose another name")


class _Reading:
    """Reads one producer's table, and says where in the file a mistake is."""

    def __init__(self, file: Path, name: str) -> None:
        self._file = file
        self._name = name

    def producer(self, table: Any) -> Producer:
        check_name(self._name, self._file)
        self._known(table, {"secrets", "logins", "amqp_logins", "rules"}, "")
        return Producer(
            self._name,
            self._secrets(table),
            self._rules(table.get("rules")),
            self._logins(table),
            self._amqp_logins(table),
        )

    def _secrets(self, table: dict[str, Any]) -> tuple[str, ...]:
        secrets = self._texts(table.get("secrets", []), "secrets")
        if not 1 <= len(secrets) <= MOST_SECRETS:
            raise self._wrong("secrets", f"write one, or two while it is changed; there are {len(secrets)}")
        if any(len(secret.encode()) < LEAST_SECRET_BYTES for secret in secrets):
            raise self._wrong(
                "secrets",
                f"a secret has at least {LEAST_SECRET_BYTES} bytes; `coins producer rotate {self._name}` makes a good one",
            )
        return tuple(secrets)

    def _logins(self, table: dict[str, Any]) -> tuple[str, ...]:
        logins = self._texts(table.get("logins", []), "logins")
        if not all(_LOGIN.fullmatch(one) for one in logins):
            raise self._wrong("logins", "write the SHA-256 of the password, 64 digits of lower-case hex")
        return tuple(logins)

    def _amqp_logins(self, table: dict[str, Any]) -> tuple[str, ...]:
        logins = self._texts(table.get("amqp_logins", []), "amqp_logins")
        users = "|".join(map(re.escape, users_of(self._name)))
        if not all(re.fullmatch(rf"({users}):{_HASH}", one) for one in logins):
            raise self._wrong(
                "amqp_logins",
                f"write user:hash, the user {' or '.join(users_of(self._name))}, the hash as RabbitMQ has it, base64 "
                f"of 36 bytes; `coins producer rotate {self._name}` makes one",
            )
        return tuple(logins)

    def _rules(self, rules: Any) -> tuple[Rule, ...] | None:
        if rules is None:
            return None
        if not isinstance(rules, list):
            raise self._wrong(
                "rules", f"write [[producers.{self._name}.rules]] for each, or rules = [] for none"
            )
        return tuple(self._rule(rule, number) for number, rule in enumerate(rules, 1))

    def _rule(self, rule: Any, number: int) -> Rule:
        where = f"rule {number}, "
        self._known(rule, {"commands", "under", "itself"}, where)
        commands = self._texts(rule.get("commands", []), f"{where}commands")
        if not commands:
            raise self._wrong(f"{where}commands", 'name at least one, as in ["TopUp"], or ["*"] for all')
        if unknown := [one for one in commands if one not in COMMANDS and one != EVERY]:
            raise self._wrong(
                f"{where}commands",
                f"{unknown[0]!r} is no command; `coins do` lists them, and ['*'] means all",
            )
        under, itself = rule.get("under"), rule.get("itself", False)
        if not isinstance(under, str) or not re.fullmatch(ID_PATTERN, under):
            raise self._wrong(
                f"{where}under", 'write the id of an account, as in "acme", or "platform" for everybody'
            )
        if not isinstance(itself, bool):
            raise self._wrong(f"{where}itself", "write true or false")
        return Rule(None if EVERY in commands else frozenset(commands), under, itself)

    def _known(self, table: Any, keys: set[str], where: str) -> None:
        if not isinstance(table, dict):
            raise self._wrong(
                where.rstrip(", ") or "its entry", f"is no table; write [producers.{self._name}]"
            )
        if unknown := sorted(table.keys() - keys):
            raise self._wrong(f"{where}{unknown[0]}", f"no such key; there are {', '.join(sorted(keys))}")

    def _texts(self, value: Any, key: str) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._wrong(key, 'write an array of texts, as in ["…"]')
        return value

    def _wrong(self, key: str, what: str) -> SettingsInvalid:
        return SettingsInvalid(f"{self._file}: producer {self._name}: {key}: {what}")


def read_text(file: Path) -> str:
    """The text of a file that nobody else can read or change, but for root. Raises SettingsInvalid.

    One that root has given to our group to read is as good: so a secret is mounted into a container that is not root.
    """
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            mode = found.st_mode
            if not stat.S_ISREG(mode):
                raise SettingsInvalid(f"{file} is no file; name the producers file")
            if mode & 0o077 and not _given_by_root(found):
                raise SettingsInvalid(
                    f"{file} holds secrets and can be read by others (mode {stat.S_IMODE(mode):o}); "
                    f"run: chmod 600 {file}"
                )
            if found.st_uid not in {os.geteuid(), 0}:
                raise SettingsInvalid(
                    f"{file} belongs to another user (id {found.st_uid}), who could change it; run this as that user, or: "
                    f"chown {os.geteuid()} {file}"
                )
            return opened.read().decode()
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{file}: no UTF-8: {error}") from None
    except OSError as error:
        raise SettingsInvalid(
            f"{file} cannot be read: {error.strerror}. Make it with `coins producer new NAME`, or mend COINS_PRODUCERS_FILE."
        ) from None


def _given_by_root(found: os.stat_result) -> bool:
    ours = {os.getegid(), *os.getgroups()}
    return found.st_uid == 0 != os.geteuid() and found.st_gid in ours and not found.st_mode & 0o037


class ProducersFile:
    """What the file says, noticed within a second when it changes. Safe to be asked by several threads.

    Raises SettingsInvalid where the file cannot be used at the beginning; later what is in force stays in force.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = _identity(file)
        self._current = load(file)
        self._looked_at = clock()

    def current(self, *, at_once: bool = False) -> Producers:
        """Who may send, as of at most a second ago, or of now."""
        if not at_once and self._clock() - self._looked_at < LOOK_SECONDS:
            return self._current
        with self._lock:
            if at_once or self._clock() - self._looked_at >= LOOK_SECONDS:
                self._look()
                self._looked_at = self._clock()
        return self._current

    def _look(self) -> None:
        seen = _identity(self._file)
        if seen == self._seen:
            return
        self._seen = seen
        why = self._read_again()
        if why is None:
            log.info("producers file read again", file=str(self._file), producers=len(self._current.by_name))
        else:
            log.error("the producers file cannot be used; the one before stays in force", why=why)

    def _read_again(self) -> str | None:
        """Why it cannot be used, if so."""
        try:
            self._current = load(self._file)
        except SettingsInvalid as error:
            return str(error)
        return None


def _identity(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def producers_of(settings: Settings) -> ProducersFile | None:
    """The producers file of these settings; None, with a warning, where there is none. Raises SettingsInvalid."""
    if settings.producers_file is None:
        log.warning("no producers file: whoever reaches the edge may send any command")
        return None
    return ProducersFile(settings.producers_file)


def producers_now(settings: Settings) -> Producers | None:
    """Who may send at this moment; None where there is no producers file. Raises SettingsInvalid."""
    return load(settings.producers_file) if settings.producers_file is not None else None


def secret_of(settings: Settings, name: str) -> str | None:
    """What one of the system's own producers signs with; None where nobody signs. Raises SettingsInvalid."""
    if settings.producers_file is None:
        return None
    producer = load(settings.producers_file).get(name)
    if producer is None:
        raise SettingsInvalid(
            f"{settings.producers_file} has no producer {name}, so its commands would not be taken; "
            f"run: coins producer new {name}"
        )
    return producer.secrets[0]
