"""Rows into a table, by one statement however many they are: changed ones, and new ones in two ways, for few and for many.

Few: `INSERT … SELECT … FROM unnest(…)`, which fits into a pipeline: a lone command waits for one round trip, not for one a
table. Many: binary COPY, which costs PostgreSQL a fifth less a row but cannot be pipelined.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from ledger.arrays import literal

# A type of ours: texts without a line break and full of quotes, which as lines need no escaping.
LINES = "lines"


class Columns:
    """The columns of a table that rows fill: PostgreSQL's type of each, under its name; rows to be changed have a `key`."""

    def __init__(self, table: str, columns: dict[str, str], key: Sequence[str] = ()) -> None:
        self._types = tuple(columns.values())
        names = ", ".join(columns)
        arrays = ", ".join(_array_of(type_) for type_ in self._types)
        values = {name: _value_of(name, type_) for name, type_ in columns.items()}
        changed = ", ".join(f"{name} = {value}" for name, value in values.items() if name not in key)
        alike = " AND ".join(f"r.{name} = {values[name]}" for name in key)
        given = f"FROM unnest({arrays}) AS u({names})"
        self._insert = f"INSERT INTO {table} ({names}) SELECT {', '.join(values.values())} {given}"
        self._update = f"UPDATE {table} r SET {changed} {given} WHERE {alike}"
        self._copy = f"COPY {table} ({names}) FROM STDIN (FORMAT binary)"
        self._copied_types = [_copied(type_) for type_ in self._types]
        self._texts = [place for place, type_ in enumerate(self._types) if type_ == "text[]"]

    def insert(self, connection: psycopg.Connection[Any], rows: Iterable[Sequence[Any]]) -> None:
        """Few rows, queued on the connection's pipeline; nothing where there are none."""
        self._run(connection, self._insert, rows)

    def update(self, connection: psycopg.Connection[Any], rows: Iterable[Sequence[Any]]) -> None:
        """Every row that has the key of one of them becomes as that one is."""
        self._run(connection, self._update, rows)

    def _run(
        self, connection: psycopg.Connection[Any], statement: str, rows: Iterable[Sequence[Any]]
    ) -> None:
        columns = list(zip(*rows, strict=True))
        if columns:
            parameters = [
                _parameter(type_, column) for type_, column in zip(self._types, columns, strict=True)
            ]
            connection.execute(statement, parameters, prepare=True)

    def copy(self, connection: psycopg.Connection[Any], rows: Iterable[Sequence[Any]]) -> None:
        """Many rows, at once; nothing where there are none."""
        listed = list(rows)
        if not listed:
            return
        for place in self._texts:
            listed = [(*row[:place], _binary_texts(row[place]), *row[place + 1 :]) for row in listed]
        with connection.cursor().copy(self._copy) as copy:
            copy.set_types(self._copied_types)
            write = copy.write_row
            for row in listed:
                write(row)


def _array_of(type_: str) -> str:
    match type_:
        case "bytea" | "text[]" | "int8[]":
            return "%s::text[]"
        case "lines":
            return "string_to_array(%s::text, E'\\n')"
    return f"%s::{type_}[]"


def _value_of(name: str, type_: str) -> str:
    match type_:
        case "bytea":
            return f"decode(u.{name}, 'hex')"
        case "text[]" | "int8[]":
            return f"u.{name}::{type_}"
    return f"u.{name}"


def _parameter(type_: str, column: Sequence[Any]) -> str:
    match type_:
        case "bytea":
            return literal([value.hex() for value in column])
        case "text[]" | "int8[]":
            return literal([None if value is None else literal(value) for value in column])
        case "lines":
            return "\n".join(column)
    return literal(column)


def _copied(type_: str) -> str:
    # An array of texts is given to COPY in its binary form already: there, bytes are bytes.
    return {"lines": "text", "text[]": "bytea"}.get(type_, type_)


_TEXT_OID = 25
_HEAD = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")


def _binary_texts(values: Sequence[str] | None) -> bytes | None:
    """One dimension, no nulls, the type, the length, the lower bound, then each text behind its length."""
    if values is None:
        return None
    parts = [_HEAD.pack(1, 0, _TEXT_OID, len(values), 1)]
    for value in values:
        encoded = value.encode()
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)
