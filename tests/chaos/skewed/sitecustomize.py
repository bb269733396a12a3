"""Read by every Python process that finds this folder in PYTHONPATH: its clock is off by what a file says, in seconds."""

from __future__ import annotations

import datetime as module
import os
import time
from typing import Any

CLOCK_FILE = "CHAOS_CLOCK_FILE"

_file = os.environ.get(CLOCK_FILE, "")
_time, _time_ns, _datetime = time.time, time.time_ns, module.datetime


def off_seconds() -> float:
    try:
        with open(_file, encoding="ascii") as file:
            return float(file.read())
    except (OSError, ValueError):
        return 0.0


class _LooksLikeTheRealOne(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _datetime)


class datetime(_datetime, metaclass=_LooksLikeTheRealOne):  # noqa: N801 - it stands in the place of that one
    """Makes real ones only; they differ in what they call now."""

    def __new__(cls, *given: Any, **named: Any) -> Any:
        return _datetime(*given, **named)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(module.UTC).replace(tzinfo=None)


if _file:
    time.time = lambda: _time() + off_seconds()
    time.time_ns = lambda: _time_ns() + int(off_seconds() * 1e9)
    datetime.__module__, datetime.__qualname__ = "datetime", "datetime"
    module.datetime = datetime  # type: ignore[misc]
