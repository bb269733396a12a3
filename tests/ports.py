"""Ports of this machine that nobody listens at, and that no connection is given before somebody does."""

from __future__ import annotations

import os
import socket
from itertools import count

# Below those that the system gives to connections; each process of the tests begins at another one.
FIRST, NUMBER = 10_000, 20_000
_next = count(os.getpid() * 61)


def free_port() -> int:
    """Another one with each call."""
    while True:
        port = FIRST + next(_next) % NUMBER
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
