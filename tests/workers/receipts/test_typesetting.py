"""Names in every script: in the right order, with their letters joined, broken where a line may end."""

from __future__ import annotations

import pytest
import uharfbuzz as harfbuzz

from workers.receipts.typefaces import typeface_of
from workers.receipts.typesetting import Line, lines, printable

ARABIC = "شركة التقنية المتقدمة المحدودة"
WIDE = 1000.0


def line_of(text: str) -> Line:
    (line,) = lines(text, width_mm=WIDE, size_points=10)
    return line


def read(lines_: list[Line]) -> list[str]:
    """What a reader of a script from left to right would read."""
    return ["".join(run.text for run in line.runs) for line in lines_]


def glyphs_of(font: harfbuzz.Font, text: str, direction: str) -> tuple[list[int], list[int]]:
    buffer = harfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = direction
    harfbuzz.shape(font, buffer, {})
    return [one.codepoint for one in buffer.glyph_infos], [one.x_advance for one in buffer.glyph_positions]


@pytest.mark.parametrize(
    ("text", "fonts"),
    [
        ("Größenwahn & Söhne", ["NotoSans-Regular"]),
        ("Türkiye İşçi ığdır", ["NotoSans-Regular"]),
        ("Nguyễn Thị Phương Đặng", ["NotoSans-Regular"]),
        ("Общество «Приём»", ["NotoSans-Regular"]),
        ("Ελληνική", ["NotoSans-Regular"]),
        ("深圳市云程科技", ["DroidSansFallback"]),
        ("主식회사かな", ["DroidSansFallback"]),
        ("䶮", ["DroidSansFallbackFull-rare"]),
        (ARABIC, ["NotoSansArabic-Regular"]),
        ("น้ำใจ จำกัด", ["NotoSansThai-Regular"]),
        ("שלום עולם", ["NotoSansHebrew-Regular"]),
        ("Acme 深圳 Ltd", ["NotoSans-Regular", "DroidSansFallback", "NotoSans-Regular"]),
    ],
)
def test_every_script_has_its_font(text: str, fonts: list[str]) -> None:
    assert printable(text) == text
    assert [run.typeface.name for run in line_of(text).runs] == fonts


def test_arabic_stands_from_right_to_left_and_a_number_in_it_from_left_to_right() -> None:
    seen = [(run.text.strip(), run.rtl) for run in line_of("شركة 12345 دبي").runs]
    assert seen == [("دبي", True), ("12345", False), ("شركة", True)]


def test_arabic_in_a_latin_line_keeps_the_lines_order() -> None:
    seen = [run.text.strip() for run in line_of("abc العربية 123 الأرقام def").runs]
    assert seen == ["abc", "الأرقام", "123", "العربية", "def"]


def test_arabic_letters_are_joined() -> None:
    (run,) = line_of("محمد").runs
    alone = [glyphs_of(run.typeface.font, letter, "rtl")[0][0] for letter in "محمد"]
    joined, _ = glyphs_of(run.typeface.font, "محمد", "rtl")
    assert len(joined) == 4
    assert not set(joined) & {alone[0], alone[1]}
    assert run.shaped


@pytest.mark.parametrize("text", [ARABIC, "น้ำใจ จำกัด ที่นี่", "שָׁלוֹם", "لا إله آباد", "محمد\u200cحسن", "q\u0303"])
def test_the_part_of_a_font_that_goes_into_the_file_shapes_as_the_whole(text: str) -> None:
    for run in line_of(text).runs:
        assert run.shaped
        direction = "rtl" if run.rtl else "ltr"
        part = harfbuzz.Font(harfbuzz.Face(run.typeface.cut(run.text, shaped=True)))
        glyphs, advances = glyphs_of(part, run.text, direction)
        assert 0 not in glyphs
        assert sum(advances) == sum(glyphs_of(run.typeface.font, run.text, direction)[1])


def test_what_turns_the_direction_of_a_text_is_not_printed() -> None:
    assert printable("100\u202e001 \u2066coins\u2069\ufeff") == "100001 coins"


def test_a_text_is_on_one_line_with_single_spaces() -> None:
    assert printable("  Acme\r\n\tLtd\u3000深圳\u2028x ") == "Acme Ltd 深圳 x"


def test_an_accent_of_its_own_is_printed_with_its_letter() -> None:
    assert printable("Mu\u0308ller") == "Müller"


def test_lines_end_at_spaces() -> None:
    assert read(lines("one two three four", width_mm=20, size_points=10, most=9)) == ["one two", "three four"]


def test_chinese_is_broken_anywhere_but_before_a_stop_and_after_a_bracket() -> None:
    width = line_of("深圳市云").width(10) + 0.1
    assert read(lines("深圳市云程科技", width_mm=width, size_points=10, most=9)) == ["深圳市云", "程科技"]
    assert read(lines("深圳市云。程科", width_mm=width, size_points=10, most=9)) == ["深圳市", "云。程科"]
    assert read(lines("深圳市（云程）", width_mm=width, size_points=10, most=9)) == ["深圳市", "（云程）"]


def test_a_word_that_is_too_long_is_broken_but_an_accent_stays_with_its_letter() -> None:
    broken = read(lines("q\u0303" * 40, width_mm=20, size_points=10, most=99))
    assert "".join(broken) == "q\u0303" * 40
    assert all(part.startswith("q") for part in broken)


@pytest.mark.parametrize("text", ["word " * 100, "深圳" * 100, "x" * 300, f"{ARABIC} " * 10])
@pytest.mark.parametrize("most", [1, 3])
def test_what_does_not_fit_ends_in_an_ellipsis(text: str, most: int) -> None:
    found = lines(text, width_mm=40, size_points=10, most=most)
    assert len(found) == most
    assert all(line.width(10) <= 40 for line in found)
    assert "…" in read(found)[-1]


def test_whatever_character_it_is_can_be_printed() -> None:
    for start in range(0, 0x30000, 4096):
        text = printable("".join(map(chr, range(start, start + 4096))))
        assert all(one == " " or one in "\u200c\u200d" or typeface_of(one) for one in text)
        lines(text[:200], width_mm=100, size_points=10, most=2)
