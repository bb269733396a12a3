"""What the documents tell people to type exists: verbs, options, arguments, and the links between headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from console.cli.main import app

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "deploy" / "runbook.md"
DOCUMENTS = (RUNBOOK, ROOT / "deploy" / "README.md", ROOT / "README.md")
BLOCK = re.compile(r"^ *```(?:sh)?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(coins [^`…]*)`")
COINS = typer.main.get_command(app)


def commands(document: Path) -> Iterator[str]:
    """Every line of a fenced block that begins with `coins`, and every such word in the text."""
    text = document.read_text(encoding="utf-8")
    for block in BLOCK.findall(text):
        yield from (line.strip() for line in block.splitlines() if line.strip().startswith("coins "))
    yield from INLINE.findall(BLOCK.sub("", text))


def fault(line: str) -> str | None:
    """What is wrong with a command, if anything: without running it."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = COINS
    while verbs := getattr(command, "commands", None):
        if not words or words[0].startswith("-"):
            return None  # the verbs of a group, spoken of together
        if words[0] not in verbs:
            return f"no verb {words[0]}"
        command, words = verbs[words[0]], words[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    unknown = [one for one in words if one.startswith("--") and one.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown and command.name != "do" else None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_every_command_that_is_written_down_exists(document: Path) -> None:
    lines = list(commands(document))
    assert len(lines) > 10
    assert {line: wrong for line in lines if (wrong := fault(line))} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("coins restart", "no verb restart"),
        ("coins dead bury 3", "no verb bury"),
        ("coins restore /backup --until now", "no option --until"),
    ],
)
def test_what_does_not_exist_is_noticed(line: str, wrong: str) -> None:
    assert fault(line) == wrong


def test_links_within_the_runbook_lead_somewhere() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


def test_tests_that_the_runbook_names_are_there() -> None:
    named = re.findall(r"tests/[a-z_/]+\.py", RUNBOOK.read_text(encoding="utf-8"))
    assert named
    assert [one for one in named if not (ROOT / one).exists()] == []
