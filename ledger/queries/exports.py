"""The list of exports that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ledger.errors import NotFound, QueryInvalid
from ledger.queries.conditions import Conditions, usable
from ledger.queries.named import accounts_named, root_named
from ledger.queries.page import DEFAULT_LIMIT, Page, checked_limit

_LIST = """
SELECT x.export, a.account, x.report, x.filters::json, x.format, x.state, x.requested_at, x.ready_at, x.rows, x.bytes,
       x.sha256, x.path, x.why
FROM export x
JOIN account a ON a.id = x.account
WHERE {conditions}
ORDER BY x.requested_at DESC, x.export DESC
LIMIT %(rows)s"""

_ONE = "SELECT state, why, path, rows, sha256 FROM export WHERE export = %(export)s"
_LAST = "SELECT requested_at, export FROM export WHERE export = %(export)s"


class ExportRow(NamedTuple):
    """An export of a list: `report` is the list's name, `filters` what was chosen of it, `state` how far it is.

    `path` lies below FILES_DIR, `sha256` is in hexadecimal digits; `why` it failed, or has no file.
    """

    export: str
    account: str
    report: str
    filters: dict[str, Any]
    format: str
    state: str
    requested_at: datetime
    ready_at: datetime | None
    rows: int | None
    bytes: int | None
    sha256: str | None
    path: str | None
    why: str | None


class ReadyExport(NamedTuple):
    """An export that has a file."""

    path: str
    rows: int
    sha256: str


def exports(
    connection: psycopg.Connection[Any],
    *,
    accounts: Sequence[str] = (),
    search: str | None = None,
    within: str | None = None,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
) -> Page[ExportRow]:
    """Exports, newest first; `search` in id and report. The cursor is the last one's id. Raises NotFound, QueryInvalid.

    `within`: those of that account and of the ones below it, and no others.
    """
    where = Conditions()
    where.of_accounts("x.account", [one.id for one in accounts_named(connection, accounts)])
    where.of_subtree("x.account", root_named(connection, within))
    where.contains(("x.export", "x.report"), search)
    if after is not None:
        last = connection.execute(_LAST, {"export": usable(after, "--after")}).fetchone()
        if last is None:
            raise QueryInvalid(
                f"--after: there is no export {after!r}; give the cursor that the page before ended with"
            )
        where.add("(x.requested_at, x.export) < (%(last_at)s, %(last_id)s)", last_at=last[0], last_id=last[1])
    found = connection.execute(
        _LIST.format(conditions=where), {**where.parameters, "rows": checked_limit(limit) + 1}
    ).fetchall()
    rows = [ExportRow(*row) for row in found[:limit]]
    return Page(rows, rows[-1].export if len(found) > limit else None)


def ready(connection: psycopg.Connection[Any], id: str) -> ReadyExport:
    """The file of the export of that id. Raises NotFound, which says how far it is; QueryInvalid."""
    row = connection.execute(_ONE, {"export": usable(id, "ID")}).fetchone()
    if row is None:
        raise NotFound(f"there is no export {id!r}; `coins exports` lists them")
    state, why, path, rows, sha256 = row
    if state != "ready" or path is None:
        told = {"removed": "its file was removed", "failed": "it has failed"}.get(
            state, f"it is {state}, try again soon"
        )
        raise NotFound(f"the export {id} has no file: {told}{f' ({why})' if why else ''}")
    return ReadyExport(path, rows, sha256)
