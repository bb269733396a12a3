"""The bundled fonts: which of them has a character, how wide a text is in it, and the part of it that a page needs.

HarfBuzz reads them once per process. What goes into a PDF is cut out first: parsing a whole Chinese font in Python, as
fpdf2 does, takes a second, and the cut one has a few kilobytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import uharfbuzz as harfbuzz

FONTS = Path(__file__).with_name("fonts")
REPLACEMENT = "\ufffd"
ELLIPSIS = "…"
_MM_PER_POINT = 25.4 / 72
_LAYOUT_TABLES = tuple(int.from_bytes(tag) for tag in (b"GDEF", b"GPOS", b"GSUB"))


@dataclass(frozen=True, eq=False, slots=True)
class Typeface:
    """One font file. `joins` where its letters change with their neighbours, so that it has to be shaped."""

    name: str
    joins: bool
    characters: frozenset[str]
    face: harfbuzz.Face
    font: harfbuzz.Font

    def width(self, text: str, size_points: float, *, shaped: bool, rtl: bool) -> float:
        """How wide `text` is, in millimetres."""
        units: int
        if shaped:
            units = sum(position.x_advance for position in _shape(self.font, text, rtl=rtl))
        else:
            units = sum(map(self._advance, text))
        return units / int(self.face.upem) * size_points * _MM_PER_POINT

    def cut(self, text: str, *, shaped: bool) -> bytes:
        """A font file with the characters of `text` and a space alone; if `shaped`, with all forms that they may take."""
        wanted = harfbuzz.SubsetInput()
        wanted.flags = harfbuzz.SubsetFlags.NO_HINTING | harfbuzz.SubsetFlags.NOTDEF_OUTLINE
        if shaped:
            # Shaping takes some letters apart, as Thai's sara am.
            text += unicodedata.normalize("NFKD", text)
        else:
            wanted.drop_table_tag_set.update(_LAYOUT_TABLES)
        wanted.unicode_set.update(ord(one) for one in {" ", *text})
        return bytes(harfbuzz.subset(self.face, wanted).blob.data)

    def _advance(self, character: str) -> int:
        return int(self.font.get_glyph_h_advance(self.font.get_nominal_glyph(ord(character)) or 0))


def typeface_of(character: str, *, bold: bool = False) -> Typeface | None:
    """The first font that has the character. Only Latin, Greek and Cyrillic letters come in bold."""
    return next((one for one in _typefaces(bold) if character in one.characters), None)


def _typefaces(bold: bool) -> tuple[Typeface, ...]:
    if bold:
        return (_read("NotoSans-Bold"), *_typefaces(bold=False))
    return (
        _read("NotoSans-Regular"),
        _read("NotoSansArabic-Regular", joins=True),
        _read("NotoSansHebrew-Regular", joins=True),
        _read("NotoSansThai-Regular", joins=True),
        _read("DroidSansFallback"),
        _read("DroidSansFallbackFull-rare"),
    )


@cache
def _read(name: str, *, joins: bool = False) -> Typeface:
    face = harfbuzz.Face(harfbuzz.Blob.from_file_path(str(FONTS / f"{name}.ttf")))
    return Typeface(name, joins, frozenset(map(chr, face.unicodes)), face, harfbuzz.Font(face))


def _shape(font: harfbuzz.Font, text: str, *, rtl: bool) -> Iterator[harfbuzz.GlyphPosition]:
    buffer = harfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if rtl else "ltr"
    harfbuzz.shape(font, buffer, {})
    yield from buffer.glyph_positions
