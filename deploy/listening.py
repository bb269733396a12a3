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
        self, data_dir: Path, address: Address, producers: Producers, *, durable: bool = True
    ) -> None:
        super().__init__(data_dir, durable=durable)
        self.address = address
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
            write_private(self.access_file, rules_text(self._producers, system_logins=logins))
        except SettingsInvalid as error:
            raise ServerNotStarted(str(error)) from None

    def _command(self) -> list[str]:
        # By the working directory: the full path may hold what a configuration reads otherwise.
        return [
            *super()._command(),
            *("--aclfile", f"../{ACL_FILE}", "--protected-mode", "no", "--proto-max-bulk-len", LONGEST_TEXT),
            *("--bind", self.address.host, "--port", str(self.address.port)),
        ]


def _kept_password(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        password = new_password()
        write_private(file, f"{password}\n")
        return password
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}. Remove it, and a new one is made.") from None


def listening_servers(
    data_dir: Path, address: Address, producers: Producers, *, durable: bool = True
) -> EmbeddedServers:
    """As `embedded.servers`, with Valkey on TCP as well, not yet started. Raises ServerNotStarted."""
    valkey = ListeningValkey(data_dir, address, producers, durable=durable)
    valkey.prepare_access()
    return EmbeddedServers(EmbeddedPostgres(data_dir, durable=durable), valkey)
