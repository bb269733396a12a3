"""Defects in the rules of commands, put in and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from ledger.decide import RULES, Ledger, Rule, Wanted
from ledger.model import Decision

Break = Callable[..., None]
BROKEN = "broken"
_SOUND = dict(RULES)


class Defect(Exception):
    """What a rule with a defect raises."""


def crash(*_: Any) -> Any:
    raise Defect("two and two is \x00 five \ud800")


def mend() -> None:
    """All rules are sound again."""
    RULES.clear()
    RULES.update(_SOUND)


@pytest.fixture
def break_rule() -> Iterator[Break]:
    """Puts a defect into a command's rule, for commands with the note `broken`; afterwards all rules are as before."""
    before = dict(RULES)

    def broken(
        command: type[Any],
        *,
        needs: Callable[[Any, Wanted], None] | None = None,
        decide: Callable[[Any, Ledger, datetime], Decision] | None = None,
    ) -> None:
        rule = RULES[command]

        def broken_needs(one: Any, wanted: Wanted) -> None:
            if needs is not None and one.note == BROKEN:
                needs(one, wanted)
            rule.needs(one, wanted)

        def broken_decide(one: Any, ledger: Ledger, now: datetime) -> Decision:
            if decide is not None and one.note == BROKEN:
                return decide(one, ledger, now)
            return rule.decide(one, ledger, now)

        RULES[command] = Rule(broken_needs, broken_decide)

    yield broken
    mend()
    assert before == RULES
