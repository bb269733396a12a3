"""The embedded Valkey where other machines reach it: on TCP, with a user of its own for each producer (`coins up --listen`).

The system's own processes go on by the local socket, as the user `coins`, whose password is made here and kept under the
data directory. There is no other way in: the server's default user is switched off.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from deploy.embedded import EmbeddedPostgres, EmbeddedServers, EmbeddedValkey, short_address
from deploy.errors import ServerNotStarted
from deploy.supervisor import make_private
from ledger.trust import Producers
from workers.access import ACL_FILE, SYSTEM_USER, login_of, new_password, rules_text, write_private
from workers.errors import SettingsInvalid

PASSWORD_FILE = "valkey.password"
# A message has 1 MiB at most; what is far beyond is not even taken in.
LONGEST_TEXT = "2mb"
# What one connection has sent of a command that is not whole yet, and what all connections hold together, answers that
# nobody reads included: beyond, the connection that holds most is ended.
LONGEST_QUERY = "32mb"
MOST_FOR_CLIENTS = "512mb"
KEEPALIVE_SECONDS = 60
LEAST_PASSWORD_BYTES = 16


class Address(NamedTuple):
    """Where to listen on TCP."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str) -> Address:
    """`HOST:PORT`, or `[HOST]:PORT` for IPv6. Raises SettingsInvalid."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535) or " " in host:
        raise SettingsInvalid(f"--listen: {text!r} is no HOST:PORT; write it as 0.0.0.0:6379 or [::1]:6379")
    return Address(host, int(port))


class ListeningValkey(EmbeddedValkey):
    """Valkey behind its socket and on TCP; who comes in has a name and a password."""

    def __init__(
        self,
        data_dir: Path,
        address: Address,
        producers: Producers,
        *,
        partitions: int = 1,
        durable: bool = True,
    ) -> None:
        super().__init__(data_dir, durable=durable)
        self.address = address
        self.partitions = partitions
        self.access_file = self.data_dir / ACL_FILE
        self._producers = producers
        self._password = ""

    @property
    def url(self) -> str:
        return f"unix://{SYSTEM_USER}:{self._password}@{short_address(self.data_dir) / self.name / 'valkey.sock'}"

    def prepare_access(self) -> None:
        """Make the password the first time, and the access rules anew. Raises ServerNotStarted."""
        make_private(self.data_dir)
        try:
            self._password = _kept_password(self.data_dir / PASSWORD_FILE)
            logins = [login_of(self._password)]
            rules = rules_text(self._producers, partitions=self.partitions, system_logins=logins)
            write_private(self.access_file, rules)
        except SettingsInvalid as error:
            raise ServerNotStarted(str(error)) from None

    def _command(self) -> list[str]:
        # By the working directory: the full path may hold what a configuration reads otherwise.
        return [
            *super()._command(),
            *("--aclfile", f"../{ACL_FILE}", "--protected-mode", "no", "--proto-max-bulk-len", LONGEST_TEXT),
            *("--client-query-buffer-limit", LONGEST_QUERY, "--maxmemory-clients", MOST_FOR_CLIENTS),
            *("--tcp-keepalive", str(KEEPALIVE_SECONDS)),
            *("--bind", self.address.host, "--port", str(self.address.port)),
        ]


def _kept_password(file: Path) -> str:
    try:
        password = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        password = new_password()
        write_private(file, f"{password}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}. Remove it, and a new one is made.") from None
    if len(password) < LEAST_PASSWORD_BYTES:
        raise SettingsInvalid(
            f"{file} has a password of {len(password)} bytes, and {LEAST_PASSWORD_BYTES} are the least. "
            "Remove it, and a new one is made."
        )
    return password


def listening_servers(
    data_dir: Path, address: Address, producers: Producers, *, partitions: int = 1, durable: bool = True
) -> EmbeddedServers:
    """As `embedded.servers`, with Valkey on TCP as well, not yet started. Raises ServerNotStarted."""
    valkey = ListeningValkey(data_dir, address, producers, partitions=partitions, durable=durable)
    valkey.prepare_access()
    return EmbeddedServers(EmbeddedPostgres(data_dir, durable=durable), valkey)
