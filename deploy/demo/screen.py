"""What a person sees: steps while it runs, then tables, a tree, a verdict. In colour on a terminal, plain elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from deploy.demo.expectation import APPLIED
from deploy.demo.findings import SHOWN_ACCOUNT, Findings, Row
from deploy.demo.producing import Producers
from deploy.demo.story import DEVICES, OFFICE, Expected, Story

if TYPE_CHECKING:
    from deploy.demo.run import Day

WIDTH = 100
NAME_WIDTH = 53
FIGURE_WIDTH = 12
MOST_MISMATCHES = 20
DATA = '"data":'


class Screen:
    """Writes to stdout."""

    def __init__(self) -> None:
        if reconfigure := getattr(sys.stdout, "reconfigure", None):
            reconfigure(errors="replace")
        console = Console(highlight=False)
        width = min(WIDTH, console.width) if console.is_terminal else WIDTH
        self.console = Console(highlight=False, width=width)
        self._began_at = time.monotonic()

    def opening(self, story: Story) -> None:
        lines = sum(chapter.lines for chapter in story.chapters)
        self.console.print()
        self.console.print(Text("coins demo", "bold"), "· a day of three enterprises, start to end")
        self.console.print(
            f"{lines:,} messages, as {DEVICES} and {OFFICE} send them; some of them twice, broken or late."
        )
        self.console.print()

    def step(self, what: str) -> None:
        """One line for what happens now, with the seconds since the start."""
        self.console.print(self._at(), Text(what), soft_wrap=True)

    def died(self, worker: str, outcomes: int) -> None:
        self.console.print(
            self._at(), Text(f"{worker} is killed (SIGKILL), with {outcomes:,} outcomes told", "bold red")
        )

    @contextlib.contextmanager
    def progress(self, producers: Producers) -> Iterator[Callable[[], None]]:
        """A bar of outcomes, while somebody looks on; what it gives is called when there are more."""
        if not self.console.is_terminal:
            yield lambda: None
            return
        bar = Progress(
            TextColumn("         outcomes"),
            BarColumn(40),
            MofNCompleteColumn(),
            console=self.console,
            transient=True,
        )
        with bar:
            task = bar.add_task("outcomes", total=producers.sent.total(), completed=len(producers.outcomes))
            yield lambda: bar.update(task, completed=len(producers.outcomes))

    def figures(self, day: Day) -> None:
        """How fast it was, and what the death of a worker cost."""
        self.headline("How fast")
        total = len(day.producers.outcomes)
        self.console.print(
            f"{total:,} commands in {day.seconds:.1f} s from the first publish to the last outcome: "
            f"{total / day.seconds:,.0f} a second."
        )
        if (gap := day.gap) is None:
            return
        busy = max(0.001, day.longest.seconds - gap.seconds)
        self.console.print(
            f"For {gap.seconds:.1f} s of that nobody worked: a dead worker's lease has to run out first. "
            f"With a worker, the day went at {day.longest.outcomes / busy:,.0f} a second."
        )
        self.console.print(
            f"When {gap.victim} was killed, {gap.waiting:,} commands were on their way. "
            "None was lost, none applied twice."
        )

    def verdict(self, expected: Expected, producers: Producers, findings: Findings, wrong: list[str]) -> None:
        """Whether everything adds up, or each thing that does not."""
        self.headline("Does it add up?")
        if wrong:
            for line in wrong[:MOST_MISMATCHES]:
                self.console.print(Text(f"✗ {line}", "red"))
            if len(wrong) > MOST_MISMATCHES:
                self.console.print(f"  and {len(wrong) - MOST_MISMATCHES:,} more")
            self.console.print(Text(f"NO: {len(wrong):,} things do not add up", "bold red"))
            return
        checked = findings.verification.checked
        for line in (
            f"every delivery of a command has exactly one outcome: "
            f"{len(producers.outcomes):,} of {producers.sent.total():,}",
            f"applied and rejected are what the rules alone make of this day, "
            f"for {len(expected.outcomes):,} pairs of command and result",
            f"the balances of all {len(expected.balances):,} accounts are, to the coin",
            f"{findings.devices:,} devices are active, as expected",
            f"verification: {checked['transaction']:,} transactions, {checked['entry']:,} entries recomputed: no difference",
        ):
            self.console.print(Text("✓", "bold green"), line)
        self.console.print(Text("everything adds up", "bold green"))

    def what_next(self, kept: Path | None) -> None:
        self.headline("What to try next")
        data = f" --data {kept}" if kept else ""
        tries = [(f"coins up{data}", "the same system, to stay; then, in another terminal:")]
        if kept:
            tries += [
                (f"coins statement huaxin{data} --subtree", "this day, line by line"),
                (f"coins verify{data}", "recompute all of it"),
            ]
        else:
            tries += [
                ('coins do OpenAccount account=acme parent=platform kind=enterprise name="Acme"', ""),
                ("coins do TopUp account=acme amount=500 reference=WIRE-1", ""),
                ("coins demo --keep", "this day again, with its data left to look around in"),
            ]
        for command, what in tries:
            line = Text(f"  {command}", "bold cyan").append(f"   {what}".rstrip(), "dim not bold")
            self.console.print(line, soft_wrap=True)
        self.console.print()

    def headline(self, what: str) -> None:
        self.console.print()
        self.console.print(Text(what, "bold"))

    def _at(self) -> Text:
        return Text(f"{time.monotonic() - self._began_at:6.1f} s ", "dim")


def show(screen: Screen, producers: Producers, findings: Findings) -> None:
    """Outcomes, dead letters, balances, a piece of a statement."""
    console = screen.console
    screen.headline("What became of the commands")
    console.print(_outcomes(producers))
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
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def _outcomes(producers: Producers) -> Table:
    table = _table("command", "applied", "rejected", "for", right=("applied", "rejected"))
    by_command: dict[str, dict[str, int]] = defaultdict(dict)
    for name, count in producers.counts(duplicate=False).items():
        command, result = name.rsplit(" ", 1)
        by_command[command][result] = count
    most_first = sorted(by_command.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    for command, results in most_first:
        applied = results.pop(APPLIED, 0)
        reasons = sorted(results.items(), key=lambda item: (-item[1], item[0]))
        table.add_row(
            command,
            f"{applied:,}" if applied else "",
            f"{sum(results.values()):,}" if results else "",
            Text(", ".join(f"{reason}×{count:,}" for reason, count in reasons), "yellow"),
        )
    return table


def _dead(findings: Findings) -> Table:
    table = _table("kind", "count", "for example", "why", right=("count",))
    for one in findings.dead:
        raw = one.raw.decode(errors="backslashreplace")
        shown = raw if one.reason == "unreadable" else f"{one.type} {raw[raw.find(DATA) + len(DATA) :]}"
        mended = "resolved by a valid one: " if one.resolved else ""
        example, why = Text(_cut(shown, 38), "dim"), _cut(f"{mended}{one.why}", 38)
        table.add_row(one.reason, f"{one.letters:,}", example, why)
    return table


def _tree(rows: list[Row]) -> Tree:
    tree = Tree(
        Text(_columns("", 0, "credit", "limit", "available"), "dim"), guide_style="dim", hide_root=False
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
    figures = (account.credit, account.credit_limit, account.available)
    text = Text(_columns(name, depth, *(f"{figure:,}" for figure in figures)))
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
