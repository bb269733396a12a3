"""`traceparent` (W3C Trace Context): what a command causes is part of the trace that the command is part of."""

from __future__ import annotations

import re

TRACEPARENT_PATTERN = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
# The specification calls ids of nothing but zeros invalid.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_ID = slice(3, 35)


def traceparent_in(value: object) -> str | None:
    """A `traceparent` as it is carried further; None for what is none, which harms nobody and is dropped."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def trace_id(traceparent: str | None) -> str | None:
    """By which all that belongs to the trace is found, in logs too."""
    return traceparent[_TRACE_ID] if traceparent is not None else None
