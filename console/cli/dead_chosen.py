"""Which dead letters are meant: the flags that all verbs about them share, and who acts on them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from console.cli.reads.options import From, Search, To
from console.cli.show import say
from ledger.errors import QueryInvalid

if TYPE_CHECKING:
    from psycopg import Connection

    from ledger.queries.dead import LetterFilter

ZONE = "UTC"
Letters = Annotated[list[int] | None, typer.Argument(metavar="LETTER", help="By their numbers.")]
Groups = Annotated[list[int] | None, typer.Option("--group", metavar="GROUP")]
Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", help="unreadable, unauthenticated, invalid, crashed, gave up."),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Of the command, as in TopUp.")]
Sources = Annotated[list[str] | None, typer.Option("--source", metavar="SOURCE")]
Producers = Annotated[
    list[str] | None, typer.Option("--producer", metavar="NAME", help="By whose stream it came.")
]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", metavar="ACCOUNT", help="The first that its event names.")
]
Exceptions = Annotated[list[str] | None, typer.Option("--exception", metavar="NAME")]

Why = Annotated[str | None, typer.Option("--why", metavar="TEXT", help="The reason, which is kept with it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
All = Annotated[bool, typer.Option("--all", help="Every letter that waits for somebody.")]


class Choice(NamedTuple):
    """The flags that choose letters: those of one kind add up, those of several narrow it down."""

    letter: Letters = None
    group: Groups = None
    reason: Reasons = None
    type: Types = None
    source: Sources = None
    producer: Producers = None
    account: Accounts = None
    exception: Exceptions = None
    from_: From = None
    to: To = None
    search: Search = None

    def filter(self) -> LetterFilter:
        """What is chosen; what a letter's state must be is left to the caller. Raises QueryInvalid."""
        from ledger.queries.dead import LetterFilter

        return LetterFilter(
            letters=self.letter or (),
            groups=self.group or (),
            reasons=self.reason or (),
            types=self.type or (),
            sources=self.source or (),
            producers=self.producer or (),
            accounts=self.account or (),
            exceptions=self.exception or (),
            since=_begin(self.from_),
            until=_end(self.to),
            search=self.search,
        )

    def demanded(self, everything: bool, verb: str) -> LetterFilter:
        """Nobody means all of them by saying nothing. Raises QueryInvalid."""
        chosen = self.filter()
        if not everything and not any(chosen):
            raise QueryInvalid(
                "which letters? give their numbers, --group, another flag that chooses, or --all: "
                f"`coins dead {verb} --help`"
            )
        if everything and any(chosen):
            raise QueryInvalid("--all goes with no other choice; leave it out")
        return chosen


def choosing(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with the flags of `Choice` before its own; it gets what they choose as its first argument."""
    own = signature(verb, eval_str=True)
    flags = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in get_type_hints(Choice, include_extras=True).items()
    ]

    @wraps(verb)
    def called(**given: Any) -> None:
        verb(Choice(**{name: given.pop(name) for name in Choice._fields}), **given)

    others = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own.parameters.values()][1:]
    called.__signature__ = own.replace(parameters=[*flags, *others])  # type: ignore[attr-defined]
    return called


def _begin(text: str | None) -> datetime | None:
    from ledger.queries.times import begin_of, parse_day

    day = parse_day(text, flag="--from")
    return None if day is None else begin_of(day, ZONE)


def _end(text: str | None) -> datetime | None:
    """The last moment that is meant."""
    from ledger.queries.times import end_of, parse_day

    day = parse_day(text, flag="--to")
    return None if day is None else end_of(day, ZONE) - timedelta(microseconds=1)


def agreed(question: str, yes: bool) -> None:
    """Ask whoever sits there; a script is taken at its word."""
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)


def reason_of(why: str | None, yes: bool) -> str | None:
    """Why it is done; on a terminal it is asked for."""
    if why is None and not yes and sys.stdin.isatty():
        return typer.prompt("Why (kept with it)", default="", err=True) or None
    return why


def tell_why_not(
    connection: Connection[Any], chosen: LetterFilter, states: Collection[str], what: str
) -> None:
    """Of letters that were named, why nothing is done about some. Raises NotFound where there is no such letter."""
    from ledger.queries.dead import letter

    for number in chosen.letters:
        found = letter(connection, number)
        if found.state in states:
            continue
        last = found.acts[-1] if found.acts else None
        how = f" ({last.act} by {last.who}: {last.result})" if last is not None else ""
        say(f"letter {number} is {found.state}{how}: it is not {what}")
