"""The access rules of the embedded server while it listens: written where it reads them, and brought into force."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis

from ledger.trust import Producers
from messages.publisher import connect
from workers.access import SYSTEM_USER, login_of, rules_text, write_private
from workers.errors import NotReady
from workers.settings import Settings, embedded_endpoints

ACCESS_FILE = "access_file"


def bring_into_force(settings: Settings, producers: Producers, *, ending: str | None = None) -> bool:
    """Let the embedded server that listens under `DATA_DIR` know its producers at once; whether there is one.

    `ending`: the producer whose connections end, so that none lives on that was made by a password which is gone.
    Raises NotReady where it is there and does not take them.
    """
    endpoints = embedded_endpoints(settings.data_dir)
    if ACCESS_FILE not in endpoints:
        return False
    url = endpoints["redis_url"]
    password = unquote(urlsplit(url).password or "")
    rules = rules_text(producers, partitions=settings.partitions, system_logins=[login_of(password)])
    write_private(Path(endpoints[ACCESS_FILE]), rules)
    client = connect(url)
    try:
        client.execute_command("ACL", "LOAD")  # type: ignore[no-untyped-call]
        if ending is not None:
            _end_connections(client, ending)
    except redis.RedisError as error:
        raise NotReady(
            f"the rules are written, and the server in {settings.data_dir} does not take them ({error}); "
            "it reads them when `coins up` is started again"
        ) from None
    finally:
        client.close()
    return True


def _end_connections(client: redis.Redis, user: str) -> None:
    """End those of a user; of the system itself those that come by the network: its own are on the local socket."""
    for one in client.client_list():
        if one["user"] == user and not (user == SYSTEM_USER and "U" in one["flags"]):
            client.client_kill_filter(_id=one["id"])
