"""How answers are shown: a table for a person, one JSON document, or a line of JSON a row.

Data goes to stdout, everything else to stderr. JSON has integers in the smallest unit and times in UTC, a person sees
amounts with decimals and thousands separators, and times in the zone of the account.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ledger.errors import QueryInvalid
from workers.printed import amount_text

_TIGHT = (",", ":")
NOTHING = "-"


class Form(Enum):
    """For whom the answer is."""

    PERSON = auto()
    JSON = auto()
    NDJSON = auto()


def form_of(*, json: bool, ndjson: bool) -> Form:
    """Raises QueryInvalid where both are asked for."""
    if json and ndjson:
        raise QueryInvalid("--json and --ndjson exclude each other; give one of them")
    return Form.JSON if json else Form.NDJSON if ndjson else Form.PERSON


class Column(NamedTuple):
    """A column of a table for a person: the field it shows, and how. Numbers stand to the right."""

    field: str
    show: Callable[[Any], str] = str
    right: bool = False


@dataclass(frozen=True)
class Manner:
    """How a person sees amounts and times."""

    scale: int = 0
    zone: str = "UTC"

    def amount(self, value: int) -> str:
        """An integer of the smallest unit, with `scale` decimals and thousands separators."""
        return amount_text(value, self.scale)

    def time(self, value: datetime) -> str:
        return f"{value.astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M:%S}"

    def amounts(self, *fields: str) -> list[Column]:
        return [Column(field, self.amount, right=True) for field in fields]


def as_json(value: Any) -> Any:
    """A value of a query as JSON has it: fields by their names, times as RFC 3339 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    return value


def write_json(value: Any) -> None:
    """One JSON document on a line of its own, UTF-8 whatever the terminal thinks."""
    _write(f"{json.dumps(as_json(value), ensure_ascii=False, separators=_TIGHT)}\n")


def write_rows(
    form: Form,
    rows: Sequence[Any],
    columns: Iterable[Column],
    *,
    following: str | None = None,
    **document: Any,
) -> None:
    """A list in the form asked for. `document` is what the JSON document says besides rows and cursor."""
    match form:
        case Form.JSON:
            write_json({**document, "rows": rows, "next": following})
            return
        case Form.NDJSON:
            for row in rows:
                write_json(row)
        case Form.PERSON:
            write_table(columns, [row._asdict() for row in rows])
    if following is not None:
        say(f"more: --after '{following}'")


def write_table(columns: Iterable[Column], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table: drawn on a terminal, else plain text in columns, so that other programs can read it."""
    columns = list(columns)
    cells = [[_cell(column, row.get(column.field)) for column in columns] for row in rows]
    titles = [column.field.replace("_", " ") for column in columns]
    if sys.stdout.isatty():
        _draw(columns, titles, cells)
        return
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    for line in (titles, *cells):
        padded = [
            text.rjust(width) if column.right else text.ljust(width)
            for column, text, width in zip(columns, line, widths, strict=True)
        ]
        _write("  ".join(padded).rstrip() + "\n")


def write_fields(fields: Iterable[tuple[Column, Any]]) -> None:
    """One thing, a line for each of its fields."""
    shown = [(column.field.replace("_", " "), _cell(column, value)) for column, value in fields]
    width = max(len(name) for name, _ in shown)
    for name, text in shown:
        _write(f"{name:{width}}  {text}\n")


def write_text(text: str) -> None:
    """Lines as they are, without what a terminal would obey."""
    _write("\n".join(map(printable, text.split("\n"))) + "\n")


def say(text: str) -> None:
    """Something that is not data."""
    print(printable(text), file=sys.stderr)  # noqa: T201


def printable(text: str) -> str:
    """What people typed, without what a terminal would obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def joined(values: Sequence[str]) -> str:
    """A list in a cell: the first ones, and how many more there are."""
    shown = ", ".join(values[:3])
    return f"{shown} and {len(values) - 3} more" if len(values) > 3 else shown


def _cell(column: Column, value: Any) -> str:
    if value is None or value == "" or value == []:
        return NOTHING
    return printable(column.show(value))


WIDEST = 1_000


def _draw(columns: Sequence[Column], titles: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = list(cells)
    # A column that says nothing anywhere only takes room.
    shown = [at for at in range(len(titles)) if not lines or any(line[at] not in ("", "-") for line in lines)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for at in shown:
        table.add_column(titles[at], justify="right" if columns[at].right else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(Text(line[at]) for at in shown))  # as text: a note may hold what looks like markup
    # As wide as it needs to be: a line that the terminal breaks can be read, a number cut in two cannot.
    console = Console(highlight=False)
    console.width = max(
        console.width, console.measure(table, options=console.options.update(width=WIDEST)).maximum
    )
    console.print(table, soft_wrap=True)


def _write(text: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
