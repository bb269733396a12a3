"""The tables at the end: what became of the commands, dead letters, who has what, a piece of a statement."""

from __future__ import annotations

from collections import Counter, defaultdict
from zoneinfo import ZoneInfo

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from deploy.demo.findings import SHOWN_ACCOUNT, DeadLetters, Findings, Row
from deploy.demo.producing import Producers
from deploy.demo.screen import Screen
from deploy.demo.story import APPLIED

NAME_WIDTH = 48
FIGURE_WIDTH = 10
SHOWN_COMMANDS = 8
SHOWN_LETTERS = 2  # of each kind
FOR_WIDTH = 54
DATA = '"data":'


def show(screen: Screen, producers: Producers, findings: Findings) -> None:
    """Outcomes, dead letters, balances, a piece of a statement."""
    console = screen.console
    screen.headline("What became of the commands")
    table, rest = _outcomes(producers)
    console.print(table)
    if rest:
        console.print(f"and {rest}")
    again = producers.counts(duplicate=True)
    if again:
        console.print(
            f"and {sum(again.values()):,} repeated deliveries: each got the first outcome again, and changed nothing"
        )
    screen.headline("What was no command: dead letters, kept with their bytes")
    console.print(_dead(findings))
    screen.headline("Who has what")
    console.print(_tree(findings.accounts))
    if findings.statement:
        screen.headline(f"The last lines of the statement of {SHOWN_ACCOUNT} ({findings.timezone})")
        console.print(_statement(findings))


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def _outcomes(producers: Producers) -> tuple[Table, str]:
    """The most frequent commands, and the others in words."""
    table = _table("command", "applied", "refused", "for", right=("applied", "refused"))
    by_command: dict[str, Counter[str]] = defaultdict(Counter)
    for name, count in producers.counts(duplicate=False).items():
        command, result = name.rsplit(" ", 1)
        by_command[command][result] += count
    most_first = sorted(by_command.items(), key=lambda item: (-item[1].total(), item[0]))
    for command, results in most_first[:SHOWN_COMMANDS]:
        applied, refused = results.pop(APPLIED, 0), results.total()
        reasons = sorted(results.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{reason}×{count:,}" for reason, count in reasons)
        table.add_row(
            command,
            f"{applied:,}" if applied else "",
            f"{refused:,}" if refused else "",
            Text(_cut(shown, FOR_WIDTH), "yellow"),
        )
    others = [results for _, results in most_first[SHOWN_COMMANDS:]]
    if not others:
        return table, ""
    applied = sum(results[APPLIED] for results in others)
    refused = sum(results.total() for results in others) - applied
    return table, f"{len(others)} other kinds of command: {applied:,} applied, {refused:,} refused"


def _dead(findings: Findings) -> Table:
    table = _table("kind", "count", "for example", "why", right=("count",))
    by_reason: dict[str, list[DeadLetters]] = defaultdict(list)
    for one in sorted(findings.dead, key=lambda one: (-one.resolved, -one.letters)):
        by_reason[one.reason].append(one)
    for reason, kinds in by_reason.items():
        for one in kinds[:SHOWN_LETTERS]:
            raw = one.raw.decode(errors="backslashreplace")
            shown = (
                raw
                if reason == "unreadable"
                else f"{one.type or ''} {raw[raw.find(DATA) + len(DATA) :]}".strip()
            )
            mended = "resolved by a valid one: " if one.resolved else ""
            example, why = Text(_cut(shown, 38), "dim"), _cut(f"{mended}{one.why}", 38)
            table.add_row(reason, f"{one.letters:,}", example, why)
        if others := kinds[SHOWN_LETTERS:]:
            count = sum(one.letters for one in others)
            table.add_row(reason, f"{count:,}", Text(f"in {len(others)} other ways", "dim"), "")
    return table


def _tree(rows: list[Row]) -> Tree:
    tree = Tree(
        Text(_columns("", 0, "credit", "limit", "frozen", "available"), "dim"),
        guide_style="dim",
        hide_root=False,
    )
    below: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        below[row.account.parent].append(row)

    def grow(branch: Tree, parent: str, depth: int) -> None:
        for row in below[parent]:
            grow(branch.add(_label(row, depth)), row.account.account, depth + 1)

    grow(tree, "platform", 1)
    return tree


def _label(row: Row, depth: int) -> Text:
    account = row.account
    name = f"{account.name} ({account.account})"
    if row.draws_from is not None:
        text = Text(_columns(name, depth))
        text.append(f"  draws on {row.draws_from}", "cyan")
        return text
    figures = (account.credit, account.credit_limit, account.frozen, account.available)
    text = Text(_columns(name, depth, *(f"{figure:,}" if figure else "·" for figure in figures)))
    if row.sponsor is not None:
        text.append("  allotment", "cyan")
    if account.state != "active":
        text.append(f"  {account.state}", "red")
    return text


def _columns(name: str, depth: int, *figures: str) -> str:
    width = NAME_WIDTH - 4 * depth
    shown = set_cell_size(name, max(width, cell_len(name)))
    return shown + "".join(figure.rjust(FIGURE_WIDTH) for figure in figures)


def _statement(findings: Findings) -> Table:
    right = ("amount", "balance")
    table = _table("time", "number", "type", "amount", "balance", "used by", "what", right=right)
    zone = ZoneInfo(findings.timezone)
    for line in findings.statement:
        devices = line.devices[0] if len(line.devices) == 1 else f"{len(line.devices)} devices"
        what = [devices if line.devices else None, line.note or line.item]
        table.add_row(
            f"{line.time.astimezone(zone):%H:%M:%S}",
            line.number,
            line.type,
            f"{line.amount:+,}",
            "" if line.balance is None else f"{line.balance:,}",
            line.consumer if line.consumer != line.account else "",
            _cut(" ".join(part for part in what if part), 24),
        )
    return table


def _cut(text: str, width: int) -> str:
    """As much of a text as fits, on one line."""
    line = "".join(character if character.isprintable() else "·" for character in text)
    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1)}…"
