"""Columns as arrays of PostgreSQL, made at once.

psycopg writes an array element by element, in Python; the path of a command has thousands of them a batch. JSON of
integers, nulls, booleans, moments and texts is, but for its brackets and for what it escapes, what PostgreSQL reads as an
array literal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson


def literal(values: Sequence[Any]) -> str:
    """An array literal of integers, None, booleans, aware moments, or texts."""
    dumped = orjson.dumps(values)
    if b"\\" in dumped:
        # JSON writes \n for a line break, an array literal would read n: there, only \ and " are escaped.
        return "{" + ",".join(map(_element, values)) + "}"
    return "{" + dumped[1:-1].decode() + "}"


def columns(rows: Iterable[Any]) -> list[str]:
    """Rows as one array literal a column."""
    return [literal(column) for column in zip(*rows, strict=True)]


def _element(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return orjson.dumps(value).decode()
