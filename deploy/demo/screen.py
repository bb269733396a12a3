"""What a person sees while it runs, and the verdict (tables: `tables.py`). In colour on a terminal, plain elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from deploy.demo.producing import Producers
from deploy.demo.story import PRODUCERS, Expected, Story

if TYPE_CHECKING:
    from deploy.demo.findings import Findings
    from deploy.demo.run import Day

WIDTH = 100
TELLS_WIDTH = 44
MOST_MISMATCHES = 20


class Screen:
    """Writes to stdout."""

    def __init__(self) -> None:
        if reconfigure := getattr(sys.stdout, "reconfigure", None):
            reconfigure(errors="replace")
        console = Console(highlight=False)
        width = min(WIDTH, console.width) if console.is_terminal else WIDTH
        self.console = Console(highlight=False, width=width)
        self._began_at = time.monotonic()
        self._in_a_scene = False

    def opening(self, story: Story) -> None:
        lines = sum(chapter.lines for chapter in story.chapters)
        self.console.print()
        self.console.print(Text("coins demo", "bold"), "· a day of a prepaid-credit business, start to end")
        self.console.print(
            "Three enterprises with their branches; a distributor, its second-level reseller, their customers.\n"
            f"{lines:,} messages, as {', '.join(PRODUCERS[:-1])} and {PRODUCERS[-1]} send them:\n"
            "of one command or many, some of them twice, broken or late."
        )
        self.console.print()

    def step(self, what: str) -> None:
        """One line for what happens now, with the seconds since the start."""
        if self._in_a_scene:
            self._in_a_scene = False
            self.console.print()
        self.console.print(self._at(), Text(what), soft_wrap=True)

    def died(self, worker: str, outcomes: int) -> None:
        self.console.print(
            self._at(), Text(f"{worker} is killed (SIGKILL), with {outcomes:,} outcomes told", "bold red")
        )

    def scene(self, title: str, why: str) -> None:
        """What is told step by step from here on, and the rule behind it."""
        self.headline(title)
        self.console.print(Text(why, "dim"))
        self._in_a_scene = True

    def applied(self, tells: str, changes: str) -> None:
        self.console.print(
            Text(f"  {_wide(tells)}").append(changes or "applied", "green" if changes else "dim")
        )

    def refused(self, tells: str, reason: str, message: str) -> None:
        """The message is what the person behind the command reads."""
        self.console.print(Text(f"  {_wide(tells)}").append(f"✗ {reason}", "yellow"))
        self.console.print(Padding(Text(message, "dim"), (0, 0, 0, 4), expand=False))

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
            f"applied and refused are as reckoned without the ledger's code, "
            f"for {len(expected.outcomes):,} kinds of outcome",
            f"each of the {len(expected.told):,} steps told above came out as reckoned: result, figures, whom to ask",
            f"credit, limit and what is frozen are, for all {len(expected.balances):,} accounts, to the coin",
            f"{findings.devices:,} devices are active, and {_told(findings.orders)}, as reckoned",
            "three months billed, warned, healed, billed to the reseller and filed, to the coin and the receipt",
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
                (f"coins statement atlantico{data} --subtree", "this day, line by line"),
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


def _told(orders: dict[str, int]) -> str:
    """`{"completed": 5, "running": 1}` → `5 orders are completed, 1 running`."""
    (first, count), *others = sorted(orders.items(), key=lambda item: -item[1]) or [("there", 0)]
    return ", ".join(
        [f"{count:,} orders are {first}", *(f"{number:,} {status}" for status, number in others)]
    )


def _wide(text: str) -> str:
    return f"{set_cell_size(text, max(TELLS_WIDTH, cell_len(text)))} "
