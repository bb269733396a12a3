"""Text to lines, lines to runs: what a browser would do with a name in any script, for one box on a page.

A line is broken in the order in which it is read, then its runs are put in the order in which they are seen
(Unicode's bidirectional algorithm, line by line): Arabic stands from right to left, a number in it from left to right.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple

from fpdf.bidi import BidiParagraph, auto_detect_base_direction
from fpdf.enums import TextDirection

from workers.receipts.typefaces import ELLIPSIS, REPLACEMENT, Typeface, typeface_of

_JOINERS = "\u200c\u200d"
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_NEVER_FIRST = frozenset({"Pe", "Pf", "Po", "Lm"})
_NEVER_LAST = frozenset({"Ps", "Pi"})


class Run(NamedTuple):
    """A piece of a line in one font and one direction, its characters in the order in which they are read."""

    text: str
    typeface: Typeface
    rtl: bool
    shaped: bool

    def width(self, size_points: float) -> float:
        """In millimetres."""
        return self.typeface.width(self.text, size_points, shaped=self.shaped, rtl=self.rtl)


class Line(NamedTuple):
    """Runs from left to right as they are seen."""

    runs: tuple[Run, ...]

    def width(self, size_points: float) -> float:
        """In millimetres."""
        return sum(run.width(size_points) for run in self.runs)


def printable(text: str) -> str:
    """`text` on one line, with U+FFFD for whatever no bundled font has, and without invisible marks.

    Marks that turn the direction of a text go too: they could make an amount or a number read differently.
    """
    composed = unicodedata.normalize("NFC", _VARIATION_SELECTORS.sub("", text))
    kept = (
        one if one.isspace() or one in _JOINERS or typeface_of(one) is not None else REPLACEMENT
        for one in composed
        if one in _JOINERS or unicodedata.category(one) != "Cf"
    )
    return " ".join("".join(kept).split())


def lines(text: str, *, width_mm: float, size_points: float, bold: bool = False, most: int = 1) -> list[Line]:
    """`text` broken into at most `most` lines of at most `width_mm`; what does not fit ends in an ellipsis."""
    whole = printable(text)
    rtl = auto_detect_base_direction(whole) == TextDirection.RTL

    def fits(part: str) -> bool:
        return _line(part, bold=bold, rtl=rtl).width(size_points) <= width_mm

    broken: list[str] = []
    rest = whole
    while rest:
        line, after = (rest, "") if fits(rest) else _broken(rest, fits)
        if len(broken) == most - 1 and after:
            line, after = _shortened(rest, fits), ""
        broken.append(line.rstrip())
        rest = after.lstrip()
    return [_line(one, bold=bold, rtl=rtl) for one in broken]


def _broken(text: str, fits: Callable[[str], bool]) -> tuple[str, str]:
    """The longest beginning that fits and ends where a line may end, and the rest."""
    ends = _ends(text)
    longest = max(1, bisect_left(ends, True, key=lambda end: not fits(text[:end].rstrip())))
    for end in reversed(ends[:longest]):
        if _may_break(text, end):
            return text[:end], text[end:]
    return text[: ends[longest - 1]], text[ends[longest - 1] :]


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    ends = _ends(text)
    longest = bisect_left(ends, True, key=lambda end: not fits(text[:end].rstrip() + ELLIPSIS))
    return (text[: ends[longest - 1]].rstrip() if longest else "") + ELLIPSIS


def _ends(text: str) -> list[int]:
    """Where `text` could be cut without tearing an accent or a vowel from its letter."""
    inside = (
        one in _JOINERS or before in _JOINERS or unicodedata.category(one).startswith("M")
        for before, one in pairwise(text)
    )
    return [*(at for at, torn in enumerate(inside, start=1) if not torn), len(text)]


def _may_break(text: str, at: int) -> bool:
    if at == len(text):
        return True
    before, after = text[at - 1], text[at]
    if before == " ":
        return True
    if before in "-/":
        return at > 1 and text[at - 2].isalnum() and after.isalnum()
    return (
        (_wide(before) or _wide(after))
        and unicodedata.category(after) not in _NEVER_FIRST
        and unicodedata.category(before) not in _NEVER_LAST
    )


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


@lru_cache(maxsize=4096)
def _line(text: str, *, bold: bool, rtl: bool) -> Line:
    runs: list[Run] = []
    for part, part_rtl in _directed(text, rtl=rtl):
        pieces = list(_in_one_typeface(part, bold=bold))
        for piece, typeface in reversed(pieces) if part_rtl else pieces:
            marked = any(unicodedata.category(one).startswith("M") for one in piece)
            runs.append(Run(piece, typeface, part_rtl, shaped=typeface.joins or part_rtl or marked))
    return Line(tuple(runs))


def _directed(text: str, *, rtl: bool) -> Iterator[tuple[str, bool]]:
    """Parts of one direction, from left to right as they are seen, each in the order in which it is read."""
    if not rtl and not any(unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in text):
        yield text, False
        return
    paragraph = BidiParagraph(text, base_direction=TextDirection.RTL if rtl else TextDirection.LTR)
    for level, seen in groupby(paragraph.get_reordered_characters(), key=lambda one: one.embedding_level):
        part = "".join(one.character for one in seen)
        yield (part[::-1], True) if level % 2 else (part, False)


def _in_one_typeface(text: str, *, bold: bool) -> Iterator[tuple[str, Typeface]]:
    """Parts of one font. What is no letter stays with the letters around it where their font has it."""
    current = next((typeface_of(one, bold=bold) for one in text if one.isalpha()), None)
    part = ""
    for one in text:
        if current is None or one.isalpha() or one not in current.characters:
            typeface = typeface_of(one, bold=bold)
            if typeface is None:
                raise ValueError(f"no font has {one!r}; make texts printable first")
            if part and current is not None and typeface is not current:
                yield part, current
                part = ""
            current = typeface
        part += one
    if current is not None:
        yield part, current
