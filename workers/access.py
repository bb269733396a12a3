"""The access rules of the edge's server: an ACL file for Redis or Valkey, in which each producer has a user of its own.

A producer may add to its own command streams and read its own outcomes, and nothing else. That it may write and read by
different commands takes a selector: what stands in brackets is allowed with its own keys only.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ledger.trust import Producer, Producers
from messages.streams import COMMANDS, SCHEDULER, outcomes_stream
from workers.errors import SettingsInvalid

ACL_FILE = "users.acl"
SYSTEM_USER = SCHEDULER
SALT_BYTES = 4
# Up to so many partitions are named one by one.
NAMED_PARTITIONS = 64
# Every number below MAX_PARTITIONS, as it is written, and no other: a `*` would match other names as well.
_EVERY_PARTITION = ("[0-9]", "[1-9][0-9]", "[1-9][0-9][0-9]", "10[01][0-9]", "102[0-3]")
_WRITING = "+xadd +ping +auth +hello +client|setname +client|setinfo"
_READING = "+xread +xrange +xrevrange +xlen"


def new_password() -> str:
    """A password or secret: 43 characters that stand for 256 random bits."""
    return secrets.token_urlsafe(32)


def login_of(password: str) -> str:
    """What is kept of a password: its SHA-256 in hex, as the server has it."""
    return hashlib.sha256(password.encode()).hexdigest()


def password_hash(password: str) -> str:
    """What RabbitMQ keeps of a password: base64 of a salt of 4 bytes and the SHA-256 of salt and password.

    See "Passwords" in RabbitMQ's documentation.
    """
    salt = os.urandom(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def rules_text(
    producers: Producers, *, partitions: int, system_logins: Iterable[str] = (), options: str = ""
) -> str:
    """The ACL file. `partitions`: how many there are; `system_logins`: of the user `coins` beyond those in the file;
    `options`: what a command that is suggested needs besides.

    Raises SettingsInvalid where nobody could log in as `coins`: the system would lock itself out.
    """
    system = producers.get(SYSTEM_USER)
    logins = dict.fromkeys([*system_logins, *(system.logins if system is not None else ())])
    if not logins:
        raise SettingsInvalid(
            f"the producers file has no login of {SYSTEM_USER}, by which the system itself would log in at the server; "
            f"run: coins producer {'new' if system is None else 'rotate'} {SYSTEM_USER}{options}"
        )
    lines = [
        "user default off sanitize-payload resetchannels -@all",
        f"user {SYSTEM_USER} on sanitize-payload {_hashes(logins)} ~* &* +@all",
        *(_user(one, partitions) for one in producers if one.name != SYSTEM_USER and one.logins),
    ]
    return "".join(f"{line}\n" for line in lines)


def written_keys(producer: str, partitions: int) -> list[str]:
    """The keys that a producer may write to, as the server's patterns: one for each partition where they are few."""
    numbers = map(str, range(partitions)) if partitions <= NAMED_PARTITIONS else _EVERY_PARTITION
    return [f"{COMMANDS}{number}:{producer}" for number in numbers]


def _user(producer: Producer, partitions: int) -> str:
    writes = " ".join(f"%W~{key}" for key in written_keys(producer.name, partitions))
    reads = f"(-@all {_READING} %R~{outcomes_stream(producer.name)})"
    return (
        f"user {producer.name} on sanitize-payload {_hashes(producer.logins)} resetchannels -@all "
        f"{_WRITING} {writes} {reads}"
    )


def _hashes(logins: Iterable[str]) -> str:
    return " ".join(f"#{login}" for login in logins)


def write_private(file: Path, text: str) -> None:
    """Write a file of mode 0600 that readers see as it was or as it is, never in part. Raises SettingsInvalid.

    Of a symbolic link what it points to is written. What root writes stays with whom it belonged to.
    """
    file = Path(os.path.realpath(file))
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as out:
            if os.geteuid() == 0 and file.exists():
                before = file.stat()
                os.fchown(out.fileno(), before.st_uid, before.st_gid)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
        _sync(file.parent)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise SettingsInvalid(f"{file} cannot be written: {error.strerror}") from None


def _sync(directory: Path) -> None:
    """Have the names in a directory on disk."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
