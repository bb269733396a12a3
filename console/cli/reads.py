"""Verbs that read the ledger: balance, accounts, plans, devices, statement, command, verify.

`READS` names them all. What takes long to import is imported where it is needed, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from console.cli.processes import DataDir
from console.cli.show import (
    Column,
    Form,
    Manner,
    form_of,
    joined,
    say,
    write_fields,
    write_json,
    write_rows,
    write_table,
)

if TYPE_CHECKING:
    import psycopg

    from ledger.queries.statement import Statement, StatementFilter
    from workers.settings import Settings

DIFFERENT = 5

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Ndjson = Annotated[bool, typer.Option("--ndjson", help="A line of JSON a row.")]
Limit = Annotated[int, typer.Option("--limit", help="Rows a page.", metavar="N")]
After = Annotated[
    str | None, typer.Option("--after", help="The cursor that the page before ended with.", metavar="CURSOR")
]
Search = Annotated[str | None, typer.Option("--search", metavar="TEXT")]


def balance(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="The credit at the end of a date, or at a moment."),
    ] = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """What an account has, and what a purchase could take now.

    Available is credit + credit limit - frozen; a shared account's is its master's. Spendable is the least of all who
    would pay for a purchase, never below 0. With --at only the credit is known as it was then.

    Examples: coins balance acme

    coins balance acme --at 2026-10-31 --json
    """
    from ledger.queries.balance import balance as find
    from ledger.queries.times import parse_day

    form = form_of(json=json, ndjson=ndjson)
    moment = parse_day(at, flag="--at")
    with _reading(data) as (connection, settings):
        found = find(connection, account, moment)
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale)
    texts = [Column("account"), Column("funding"), Column("draws_from"), Column("sponsor")]
    amounts = manner.amounts("credit", "credit_limit", "frozen", "available", "spendable")
    write_fields(zip([*texts, *amounts], found, strict=True))


def accounts(
    under: Annotated[
        list[str] | None, typer.Option("--under", metavar="ACCOUNT", help="Below it, itself not included.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="distributor, reseller, enterprise, agent, branch, customer."),
    ] = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="active, suspended, closed.")] = None,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The accounts, each with the totals of its subtree: coins, frozen coins, and how many accounts there are.

    Flags that choose may be repeated. --search looks in id, name and e-mail.

    Examples: coins accounts --under acme --state active

    coins accounts --kind reseller --kind distributor --search li.na --json
    """
    from ledger.queries.accounts import AccountFilter
    from ledger.queries.accounts import accounts as find

    form = form_of(json=json, ndjson=ndjson)
    chosen = AccountFilter(under or (), kind or (), state or (), search)
    with _reading(data) as (connection, settings):
        page = find(connection, chosen, limit=limit, after=after)
    texts = [Column(name) for name in ("account", "name", "kind", "parent", "funding", "state")]
    amounts = Manner(settings.scale).amounts(
        "credit", "credit_limit", "frozen", "available", "subtree_credit", "subtree_frozen"
    )
    count = Column("subtree_accounts", "{:,}".format, right=True)
    write_rows(form, page.rows, [*texts, *amounts, count], following=page.next)


def plans(
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="onboarding, renewal, package, proxy, phone, postpaid."),
    ] = None,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The plans, as they were put. --search looks in id and name.

    Example: coins plans --kind renewal
    """
    from ledger.queries.plans import plans as find

    form = form_of(json=json, ndjson=ndjson)
    with _reading(data) as (connection, settings):
        page = find(connection, kinds=kind or (), search=search, limit=limit, after=after)
    columns = [
        Column("plan"),
        Column("name"),
        Column("kind"),
        *Manner(settings.scale).amounts("price"),
        Column("rate", right=True),
        Column("cycle", lambda cycle: f"{cycle.count} {cycle.unit}{'s' if cycle.count > 1 else ''}"),
        Column("coefficient", right=True),
    ]
    write_rows(form, page.rows, columns, following=page.next)


def devices(
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="Onboarded under it.")
    ] = None,
    expiring_within: Annotated[
        int | None, typer.Option("--expiring-within", metavar="DAYS", help="Paid for no longer than that.")
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Not paid for any more.")] = False,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """The devices that are onboarded, and until when they are paid for. --search looks in the device's id.

    --expired and --expiring-within together give both kinds. Times are UTC.

    Examples: coins devices --account acme

    coins devices --expiring-within 30 --expired --ndjson
    """
    from ledger.queries.devices import DeviceFilter
    from ledger.queries.devices import devices as find

    form = form_of(json=json, ndjson=ndjson)
    chosen = DeviceFilter(account or (), expiring_within, expired, search)
    with _reading(data) as (connection, settings):
        page = find(connection, chosen, now=datetime.now(UTC), limit=limit, after=after)
    time = Manner(settings.scale).time
    columns = [
        Column("device"),
        Column("account"),
        Column("plan"),
        Column("onboarded_at", time),
        Column("paid_until", time),
        Column("subscription"),
    ]
    write_rows(form, page.rows, columns, following=page.next)


def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first day, or a moment with its zone.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The last day, or a moment with its zone.")
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", help="As in the column; `transfer` means both directions."),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Recharge, System, Expense.")
    ] = None,
    item: Annotated[list[str] | None, typer.Option("--item")] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help="A device, or a phone.")] = None,
    order: Annotated[list[str] | None, typer.Option("--order")] = None,
    actor: Annotated[list[str] | None, typer.Option("--actor", help="The person behind it.")] = None,
    subtree: Annotated[
        bool, typer.Option("--subtree", help="With every account below, and totals by unit.")
    ] = False,
    search: Search = None,
    limit: Limit = 50,
    after: After = None,
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """What was posted to an account, newest first. Dates are whole days in the account's zone, both included.

    Flags that choose may be repeated. --search looks in item, type, number, order, reference, note and device. A shared
    account's statement shows what it used, and who paid.

    Examples: coins statement acme --from 2026-11-01 --to 2026-11-30

    coins statement acme --subtree --type transfer --search Q1 --json
    """
    from ledger.queries.statement import StatementFilter
    from ledger.queries.statement import statement as find
    from ledger.queries.times import parse_day

    form = form_of(json=json, ndjson=ndjson)
    chosen = StatementFilter(
        since=parse_day(from_, flag="--from"),
        until=parse_day(to, flag="--to"),
        types=type_ or (),
        categories=category or (),
        items=item or (),
        devices=device or (),
        orders=order or (),
        actors=actor or (),
        subtree=subtree,
        search=search,
    )
    with _reading(data) as (connection, settings):
        found = find(connection, account, chosen, limit=limit, after=after)
    _show_statement(form, found, chosen, Manner(settings.scale, found.timezone))


def _show_statement(form: Form, found: Statement, chosen: StatementFilter, manner: Manner) -> None:
    totals = {} if found.totals is None else {"totals": found.totals}
    write_rows(
        form,
        found.rows,
        [
            *([Column("account")] if chosen.subtree else []),
            Column("time", manner.time),
            Column("number"),
            Column("type"),
            Column("item"),
            Column("devices", joined),
            *manner.amounts("amount", "balance"),
            *([Column("unit")] if any(line.unit != "coin" for line in found.rows) else []),
            Column("counterparty"),
            Column("consumer"),
            Column("paid_by"),
            Column("order"),
            Column("note"),
            Column("actor"),
        ],
        following=found.next,
        account=found.account,
        timezone=found.timezone,
        **totals,
    )
    if form is Form.PERSON:
        say(f"times in {found.timezone}")
        for total in found.totals or ():
            say(f"{total.lines:,} lines in all, {manner.amount(total.amount)} {total.unit}")


def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE")],
    id_: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
    ndjson: Ndjson = False,
    data: DataDir = None,
) -> None:
    """What became of a command: its outcome, when, by whom, its transaction, and the message as it came in.

    Example: coins command device-mgmt 9f1c-0001
    """
    from ledger.queries.command import command as find

    form = form_of(json=json, ndjson=ndjson)
    with _reading(data) as (connection, settings):
        found = find(connection, source, id_)
    if form is not Form.PERSON:
        write_json(found)
        return
    manner = Manner(settings.scale)
    hidden = {"accounts", "dead_letters", "raw"}
    show: dict[str, Callable[[Any], str]] = {"decided_at": lambda moment: f"{manner.time(moment)} UTC"}
    write_fields(
        (Column(name, show.get(name, str)), value)
        for name, value in found._asdict().items()
        if name not in hidden
    )
    figures = manner.amounts("credit", "credit_limit", "frozen", "available")
    for account in found.accounts:
        write_fields([(Column("account"), account["account"])])
        write_fields((column, account[column.field]) for column in figures)
    for letter in found.dead_letters:
        write_fields(
            [(Column("dead_letter"), f"{letter.letter}, {letter.state}, {letter.reason}: {letter.why}")]
        )
    write_fields([(Column("raw"), found.raw)])


def verify(json: Json = False, ndjson: Ndjson = False, data: DataDir = None) -> None:
    """Recompute everything from the entries: exits 0 when the ledger agrees with itself, 5 when it does not.

    It reads one snapshot of the whole ledger, writes nothing and keeps nobody waiting. Progress goes to stderr.

    Example: coins verify --json
    """
    from ledger.queries.reading import connected
    from ledger.verify import verify as run
    from workers.settings import load

    form = form_of(json=json, ndjson=ndjson)
    with connected(load(data).database, name="verify") as connection:
        result = run(connection, lambda what: say(f"checking: {what}"))
    if form is Form.JSON:
        write_json(
            {
                "ok": not result.differences,
                "differences": result.differences,
                "checks": result.checks,
                "checked": result.checked,
                "cut_off": result.cut_off,
            }
        )
    elif form is Form.NDJSON:
        for difference in result.differences:
            write_json(difference)
    elif result.differences:
        columns = [Column(name) for name in ("where", "what", "expected", "found")]
        write_table(columns, [difference._asdict() for difference in result.differences])
    else:
        write_fields((Column(f"{table} rows"), f"{rows:,}") for table, rows in result.checked.items())
    for name in result.cut_off:
        say(f"there is more of {name}")
    say(f"{len(result.differences):,} differences, {len(result.checks)} checks")
    if result.differences:
        raise typer.Exit(DIFFERENT)


@contextmanager
def _reading(data: DataDir) -> Iterator[tuple[psycopg.Connection[Any], Settings]]:
    """A connection in a snapshot, and the settings."""
    from ledger.queries.reading import reading
    from workers.settings import load

    settings = load(data)
    with reading(settings.database, name="read") as connection:
        yield connection, settings


READS: Final[dict[str, Callable[..., None]]] = {
    "balance": balance,
    "accounts": accounts,
    "plans": plans,
    "devices": devices,
    "statement": statement,
    "command": command,
    "verify": verify,
}
