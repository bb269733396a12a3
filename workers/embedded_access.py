"""The access rules of the embedded server while it listens: written where it reads them, and brought into force."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis

from ledger.trust import Producers
from messages.publisher import connect
from workers.access import login_of, rules_text, write_private
from workers.errors import NotReady
from workers.settings import Settings, embedded_endpoints

ACCESS_FILE = "access_file"


def bring_into_force(settings: Settings, producers: Producers) -> bool:
    """Let the embedded server that listens under `DATA_DIR` know its producers at once; whether there is one.

    Raises NotReady where it is there and does not take them.
    """
    endpoints = embedded_endpoints(settings.data_dir)
    if ACCESS_FILE not in endpoints:
        return False
    url = endpoints["redis_url"]
    password = unquote(urlsplit(url).password or "")
    write_private(Path(endpoints[ACCESS_FILE]), rules_text(producers, system_logins=[login_of(password)]))
    client = connect(url)
    try:
        client.execute_command("ACL", "LOAD")  # type: ignore[no-untyped-call]
    except redis.RedisError as error:
        raise NotReady(
            f"the rules are written, and the server in {settings.data_dir} does not take them ({error}); "
            "it reads them when `coins up` is started again"
        ) from None
    finally:
        client.close()
    return True
