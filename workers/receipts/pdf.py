"""A receipt as a PDF of one A4 page: equal receipts give equal bytes, on any machine and at any time."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from fpdf import FPDF
from fpdf.fonts import TTFFont

from workers.receipts.layout import LEFT, PAGE_HEIGHT, PAGE_WIDTH, RIGHT, Page, Shade, Written, laid_out
from workers.receipts.receipt import Receipt
from workers.receipts.typefaces import Typeface
from workers.receipts.typesetting import Run, printable

_SHADES: dict[Shade, int] = {"ink": 25, "grey": 110, "pale": 195}
_MM_PER_POINT = 25.4 / 72


def render(receipt: Receipt, *, scale: int = 0) -> bytes:
    """The PDF of `receipt`, its amounts with `scale` decimals. Texts that are too long end in an ellipsis."""
    page = laid_out(receipt, scale=scale)
    pdf = FPDF(format=(PAGE_WIDTH, PAGE_HEIGHT))
    # Else a text with the letters {nb} would print the number of pages.
    pdf.str_alias_nb_pages = ""
    pdf.set_auto_page_break(False)
    pdf.set_creation_date(receipt.issued_at)
    pdf.set_title(f"Receipt {receipt.number}")
    pdf.set_author(printable(receipt.top_account_name))
    pdf.set_producer("coinworks")
    pdf.set_lang("en")
    pdf.c_margin = 0
    pdf.add_page()
    # The fonts are read again when the document is written: they stay until then.
    with TemporaryDirectory(prefix="receipt-") as directory:
        _add_fonts(pdf, page, Path(directory))
        _draw(pdf, page)
        return bytes(pdf.output())


def _add_fonts(pdf: FPDF, page: Page, directory: Path) -> None:
    used: defaultdict[Typeface, list[Run]] = defaultdict(list)
    for written in page.written:
        for run in written.line.runs:
            used[run.typeface].append(run)
    for typeface, runs in used.items():
        file = directory / f"{typeface.name}.ttf"
        text = "".join(run.text for run in runs)
        file.write_bytes(typeface.cut(text, shaped=any(run.shaped for run in runs)))
        pdf.add_font(typeface.name, fname=file)
        added = pdf.fonts[typeface.name.lower()]
        if isinstance(added, TTFFont):
            # The boxes of the glyphs are right already; measuring them again takes as long as all the rest.
            added.ttfont.recalcBBoxes = False


def _draw(pdf: FPDF, page: Page) -> None:
    for rule in page.rules:
        pdf.set_draw_color(_SHADES[rule.shade])
        pdf.line(LEFT, rule.y, RIGHT, rule.y)
    for written in page.written:
        _draw_line(pdf, written)


def _draw_line(pdf: FPDF, written: Written) -> None:
    pdf.set_text_color(_SHADES[written.shade])
    x = written.x
    for run in written.line.runs:
        pdf.set_font(run.typeface.name, size=written.size_points)
        if run.shaped:
            pdf.set_text_shaping(True, direction="rtl" if run.rtl else "ltr")
            # A cell of no height has its base line 0.3 of the size below it.
            pdf.set_xy(x, written.y - 0.3 * written.size_points * _MM_PER_POINT)
            pdf.cell(h=0, text=run.text)
            pdf.set_text_shaping(False)
        else:
            pdf.text(x, written.y, run.text)
        x += run.width(written.size_points)
