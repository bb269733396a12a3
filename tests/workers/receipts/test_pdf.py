"""The file: one page whatever is on it, read back as a reader would."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from tests.workers.receipts.controls import ORDER, RECHARGE, pages_of, text_of
from workers.receipts.layout import PAGE_HEIGHT, PAGE_WIDTH, laid_out
from workers.receipts.pdf import render
from workers.receipts.receipt import Receipt

ROOT = Path(__file__).parents[3]
MM = 72 / 25.4


def test_a_recharge_says_who_paid_what_and_when() -> None:
    text = text_of(render(RECHARGE))
    for said in (
        "RECEIPT",
        "acme-2026-000001",
        "Müller & Söhne Größenwahn GmbH",
        "深圳市云程科技有限公司",
        "深圳市南山区科技园南路 18 号",
        "518057 深圳",
        "91440300MA5EXAMPLE",
        "acme-cn · Acme China",
        "2026-11-22 16:00:05 UTC+08:00",
        "2026-11-22 15:59:58 UTC+08:00",
        "Asia/Shanghai",
        "T-2026-0000001234",
        "Recharge of prepaid coins",
        "1,250,000 coins",
        "8750.5 CNY",
        "bank_transfer",
        "WIRE-881",
        "li.na@acme.example",
    ):
        assert said in text


def test_german_chinese_and_arabic_stand_on_one_page() -> None:
    text = text_of(render(replace(RECHARGE, payer="محمد بن عبد الله", note="شركة رقم 12345 دبي")))
    assert "Größenwahn" in text
    assert "深圳市云程科技有限公司" in text
    for word in ("محمد", "دبي"):
        assert word in text or word[::-1] in text
    assert "12345" in text


def test_an_order_says_what_was_bought() -> None:
    text = text_of(render(ORDER, scale=2))
    for said in (
        "Proxy 50 GB",
        "3",
        "4.00",
        "12.00 coins",
        "pro-7/2",
        "UTC+02:00",
        "Europe/Berlin",
        "Carl Ltd",
    ):
        assert said in text
    assert "Money paid" not in text
    assert "Note" not in text


def test_it_is_a_page_of_a4_that_says_what_it_is() -> None:
    pdf = PdfReader(BytesIO(render(RECHARGE)))
    (page,) = pdf.pages
    assert [float(side) for side in page.mediabox[2:]] == pytest.approx([210 * MM, 297 * MM], abs=0.1)
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Receipt acme-2026-000001"
    assert pdf.metadata.creation_date == RECHARGE.issued_at


def test_equal_receipts_are_equal_bytes_in_every_process() -> None:
    code = (
        "from hashlib import sha256; from tests.workers.receipts.controls import RECHARGE; "
        "from workers.receipts.pdf import render; print(sha256(render(RECHARGE)).hexdigest())"
    )
    here = sha256(render(replace(RECHARGE))).hexdigest()
    for seed, zone in (("1", "America/New_York"), ("2", "Asia/Tokyo")):
        there = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert there.stdout.strip() == here


def test_threads_do_not_disturb_each_other() -> None:
    receipts = [replace(RECHARGE, number=f"acme-2026-{number:06}") for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(render, receipts)) == [render(one) for one in receipts]


@pytest.mark.parametrize(
    "letters", ["Wort ", "深圳市", "W", "شركة ", "บริษัทน้ำใจ", "😀", "q\u0303", "\u0301", "(", "-"]
)
def test_however_long_the_texts_are_it_is_one_small_page(letters: str) -> None:
    receipt = _filled(letters)
    pdf = render(receipt)
    assert len(pages_of(pdf)) == 1
    assert len(pdf) < 50_000
    text = text_of(pdf)
    assert "1,000,000,000,000,000 coins" in text
    assert "…" in text


@pytest.mark.parametrize("letters", ["Wort ", "深圳市", "W", "شركة "])
def test_nothing_leaves_the_page_or_stands_on_something_else(letters: str) -> None:
    page = laid_out(_filled(letters))
    boxes = [
        (one.x, one.y - 0.27 * one.size_points, one.x + one.line.width(one.size_points), one.y)
        for one in page.written
    ]
    for at, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 17.9
        assert right <= PAGE_WIDTH - 17.9
        assert bottom < PAGE_HEIGHT - 10
        for other_left, other_top, other_right, other_bottom in boxes[:at]:
            apart = left >= other_right or right <= other_left or top >= other_bottom or bottom <= other_top
            assert apart


def test_a_character_that_no_font_has_leaves_a_visible_mark() -> None:
    text = text_of(render(replace(RECHARGE, legal_name="A😀B\ue000C\x07D\ud800E", payer="ok")))
    assert "A\ufffdB\ufffdC\ufffdD\ufffdE" in text


@pytest.mark.parametrize("shaped", ["", " q\u0303"])
def test_what_looks_like_a_command_to_the_library_is_text(shaped: str) -> None:
    typed = f"{{nb}} **bold** --x-- (a) \\n <b> %PDF{shaped}"
    assert typed in text_of(render(replace(RECHARGE, legal_name=typed)))


def test_only_the_fonts_that_are_needed_are_in_the_file() -> None:
    def fonts(receipt: Receipt) -> set[str]:
        page = PdfReader(BytesIO(render(receipt))).pages[0]
        resources: Any = page["/Resources"]
        return {str(font.get_object()["/BaseFont"]) for font in resources["/Font"].values()}

    assert fonts(ORDER) == {"/MPDFAA+NotoSans", "/MPDFAA+NotoSansBold"}
    assert fonts(RECHARGE) == fonts(ORDER) | {"/MPDFAA+DroidSansFallback"}


def _filled(letters: str) -> Receipt:
    """The longest texts that the contract allows, and more."""

    def text(length: int) -> str:
        return (letters * length)[:length]

    return replace(
        RECHARGE,
        number=f"{'a' * 64}-2026-000001",
        account="x" * 64,
        top_account="a" * 64,
        account_name=text(200),
        top_account_name=text(200),
        legal_name=text(200),
        tax_id=text(200),
        address="\n".join([text(30)] * 16)[:500],
        method=text(64),
        reference=text(200),
        item=text(200),
        payer=text(200),
        note=text(500),
        order="o" * 64,
        amount=10**15,
        unit_price=10**15,
        quantity=10_000,
        paid_amount="1234567890123456.123456",
    )
