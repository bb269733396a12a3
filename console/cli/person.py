"""Who sits here, as far as the machine knows: told with whatever is done by hand."""

from __future__ import annotations

import os
import pwd


def person() -> str:
    """The name of the user that this process runs as; what the environment says of it anybody could set.

    Behind sudo also of whoever called it.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    caller = os.environ.get("SUDO_USER") if uid == 0 else None
    return f"{name} (sudo by {caller})" if caller and caller.isprintable() else name
