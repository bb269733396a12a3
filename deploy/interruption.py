"""Being asked to stop in the middle of something long: by whichever signal, once, and whatever is running just then."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from deploy.embedded import EmbeddedServers

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 5.0


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within, each of `SIGNALS` raises KeyboardInterrupt, and again every five seconds until `stopping` is called.

    Python swallows what is raised in a finaliser or a callback of the garbage collector, which is where a signal may
    find the program. So it is raised again until somebody has noticed.
    """
    before = {sig: signal.signal(sig, _interrupt) for sig in (*SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for sig, handler in before.items():
            signal.signal(sig, handler)


@contextlib.contextmanager
def running(servers: EmbeddedServers) -> Iterator[None]:
    """Both servers, which are stopped in order however this ends. Within `interruptible`."""
    with contextlib.ExitStack() as stack:
        stack.callback(servers.stop)
        stack.callback(stopping)
        servers.start()
        yield


def stopping() -> None:
    """From here on everything is being stopped, and impatience is no reason to leave something behind."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for sig in (*SIGNALS, signal.SIGALRM):
        signal.signal(sig, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    for sig in SIGNALS:
        signal.signal(sig, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    raise KeyboardInterrupt
