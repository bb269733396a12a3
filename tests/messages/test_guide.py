"""The producers' guide: its numbers are right, its samples are samples, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from messages.codec import Decoded, decode
from messages.events import OUTCOMES, CommandApplied
from messages.signing import sign
from messages.streams import partition_of
from tests.messages.conftest import MESSAGES

GUIDE = (MESSAGES / "README.md").read_text(encoding="utf-8")
COMMAND, OUTCOME = re.findall(r"^```json\n(.*)\n```", GUIDE, re.M)


def test_the_partitions_of_its_keys() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (\d+) \| (\d) \| (\d) \| (\d) \|$", GUIDE, re.M)
    assert len(rows) == 4
    for key, crc, *partitions in rows:
        assert partition_of(key, 2**32) == int(crc)
        assert [partition_of(key, number) for number in (2, 4, 8)] == [int(one) for one in partitions]


def test_its_command_and_the_signature_of_it() -> None:
    (found,) = decode(COMMAND.encode())
    assert isinstance(found, Decoded)
    (secret,) = re.findall(r"With the secret `(\S+)`", GUIDE)
    assert f"\n    {sign(COMMAND.encode(), secret)}\n" in GUIDE


def test_its_outcome_is_one() -> None:
    assert isinstance(OUTCOMES.validate_json(OUTCOME), CommandApplied)


@pytest.mark.parametrize("page", ["README.md", "REFERENCE.md", "CONTRACT.md"])
def test_what_it_links_to_is_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (MESSAGES / page).read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in path:
            file = MESSAGES / (path or page)
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
