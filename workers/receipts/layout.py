"""Where everything stands on the one page of a receipt: lines of text and rules, in millimetres from the top left."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from workers.printed import amount_text, coins_text, moment_text
from workers.receipts.receipt import Receipt
from workers.receipts.typesetting import Line, lines

PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
LEFT, RIGHT = 18.0, 192.0
_MIDDLE = 112.0
_FOOTER = 280.0
_GAP = 4.0
_TEXT = 9.5
# In millimetres for each point of size: from line to line, and from a line's top to its base line.
_LEADING, _ASCENT = 0.47, 0.36
_ADDRESS_LINES, _NOTE_LINES = 10, 12

Shade = Literal["ink", "grey", "pale"]


class Written(NamedTuple):
    """A line of text, by the left end of its base line."""

    x: float
    y: float
    line: Line
    size_points: float
    shade: Shade


class Rule(NamedTuple):
    """A horizontal line across the text."""

    y: float
    shade: Shade


@dataclass(slots=True)
class Page:
    """What has been placed so far."""

    written: list[Written] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    def write(
        self,
        text: str,
        x: float,
        y: float,
        width: float,
        *,
        size: float = _TEXT,
        bold: bool = False,
        shade: Shade = "ink",
        most: int = 1,
        right: bool = False,
    ) -> float:
        """Place `text` with its top at `y`, in at most `most` lines. Returns where the next line would have its top."""
        for line in lines(text, width_mm=width, size_points=size, bold=bold, most=most):
            start = x + width - line.width(size) if right else x
            self.written.append(Written(start, y + _ASCENT * size, line, size, shade))
            y += _LEADING * size
        return y

    def paragraphs(self, text: str, x: float, y: float, width: float, *, most: int) -> float:
        """Place a text with line ends of its own in at most `most` lines. Returns as `write` does."""
        rest = [part.strip() for part in text.splitlines() if part.strip()]
        while rest and most > 0:
            part, rest = (rest[0], rest[1:]) if most > 1 else (", ".join(rest), [])
            below = self.write(part, x, y, width, most=most - bool(rest))
            most -= round((below - y) / (_LEADING * _TEXT))
            y = below
        return y

    def fact(self, label: str, text: str, x: float, y: float, width: float, *, most: int = 1) -> float:
        """A label and what it stands for. Returns as `write` does."""
        label_width = 24.0
        self.write(label, x, y, label_width, shade="grey")
        return self.write(text, x + label_width, y, width - label_width, most=most) + 0.5


def laid_out(receipt: Receipt, *, scale: int = 0) -> Page:
    """The page of `receipt`, its amounts with `scale` decimals."""
    page = Page()
    y = _header(page, receipt) + 2 * _GAP
    y = max(_billed_to(page, receipt, y), _facts(page, receipt, y)) + 2 * _GAP
    y = _table(page, receipt, y, scale) + 2 * _GAP
    y = _payment(page, receipt, y) + _GAP
    _note(page, receipt, y)
    _footer(page, receipt)
    return page


def _header(page: Page, receipt: Receipt) -> float:
    title_width = 48.0
    page.write("RECEIPT", RIGHT - title_width, 17, title_width, size=21, bold=True, right=True)
    width = RIGHT - LEFT - title_width - _GAP
    y = page.write(receipt.top_account_name, LEFT, 18, width, size=14, bold=True, most=3)
    y = page.write(f"Account {receipt.top_account}", LEFT, y + 0.5, width, shade="grey", most=2)
    y = max(y, 30) + _GAP / 2
    page.rules.append(Rule(y, "ink"))
    return y


def _billed_to(page: Page, receipt: Receipt, y: float) -> float:
    width = _MIDDLE - LEFT - 2 * _GAP
    y = page.write("Billed to", LEFT, y, width, shade="grey") + 0.5
    y = (
        page.write(receipt.legal_name or receipt.account_name, LEFT, y, width, size=11.5, bold=True, most=4)
        + 0.5
    )
    y = page.paragraphs(receipt.address or "", LEFT, y, width, most=_ADDRESS_LINES)
    if receipt.tax_id:
        y = page.write(f"Tax id {receipt.tax_id}", LEFT, y, width, most=2)
    named = receipt.legal_name and receipt.legal_name != receipt.account_name
    account = f"{receipt.account} · {receipt.account_name}" if named else receipt.account
    return page.write(f"Account {account}", LEFT, y, width, shade="grey", most=4)


def _facts(page: Page, receipt: Receipt, y: float) -> float:
    width = RIGHT - _MIDDLE
    y = page.fact("Receipt no.", receipt.number, _MIDDLE, y, width, most=3)
    y = page.fact("Issued", moment_text(receipt.issued_at, receipt.zone), _MIDDLE, y, width)
    y = page.fact("Paid", moment_text(receipt.posted_at, receipt.zone), _MIDDLE, y, width)
    y = page.fact("Time zone", receipt.zone, _MIDDLE, y, width, most=2)
    y = page.fact("Transaction", receipt.transaction, _MIDDLE, y, width, most=2)
    return page.fact("Order", receipt.order, _MIDDLE, y, width, most=3) if receipt.order else y


def _table(page: Page, receipt: Receipt, y: float, scale: int) -> float:
    edges = (LEFT, 96.0, 114.0, 152.0, RIGHT)
    columns = [(start, end - start - 2) for start, end in pairwise(edges)]
    unit_price = "–" if receipt.unit_price is None else amount_text(receipt.unit_price, scale)
    amount = amount_text(receipt.amount, scale)
    description = receipt.item or ("Recharge of prepaid coins" if receipt.kind == "recharge" else "Order")
    heading = ("Description", "Quantity", "Price in coins", "Amount in coins")
    row = (description, f"{receipt.quantity:,}", unit_price, amount)
    page.rules.append(Rule(y, "pale"))
    y += 1.5
    for at, ((x, width), text) in enumerate(zip(columns, heading, strict=True)):
        page.write(text, x, y, width, bold=True, right=at > 0)
    y += _LEADING * _TEXT + 1.5
    page.rules.append(Rule(y, "pale"))
    y += 1.5
    below = y
    for at, ((x, width), text) in enumerate(zip(columns, row, strict=True)):
        below = max(below, page.write(text, x, y, width, most=1 if at else 4, right=at > 0))
    y = below + 1.5
    page.rules.append(Rule(y, "ink"))
    page.write("Total", LEFT, y + 1.5, 40, size=11, bold=True)
    total_width = 120.0
    return page.write(
        coins_text(receipt.amount, scale),
        RIGHT - 2 - total_width,
        y + 1.5,
        total_width,
        size=11,
        bold=True,
        right=True,
    )


def _payment(page: Page, receipt: Receipt, y: float) -> float:
    paid = (
        " ".join(filter(None, (receipt.paid_amount, receipt.paid_currency))) if receipt.paid_amount else None
    )
    facts = (
        ("Money paid", paid),
        ("Method", receipt.method),
        ("Reference", receipt.reference),
        ("Payer", receipt.payer),
    )
    for label, text in facts:
        if text:
            y = page.fact(label, text, LEFT, y, RIGHT - LEFT, most=3)
    return y


def _note(page: Page, receipt: Receipt, y: float) -> None:
    if receipt.note:
        y = page.write("Note", LEFT, y, RIGHT - LEFT, shade="grey")
        room = int((_FOOTER - _GAP - y) / (_LEADING * _TEXT))
        page.paragraphs(receipt.note, LEFT, y, RIGHT - LEFT, most=min(room, _NOTE_LINES))


def _footer(page: Page, receipt: Receipt) -> None:
    page.rules.append(Rule(_FOOTER, "pale"))
    width = (RIGHT - LEFT) / 2
    page.write(
        "Issued electronically, without a signature.", LEFT, _FOOTER + 1.5, width, size=8, shade="grey"
    )
    page.write(
        f"Receipt {receipt.number}", LEFT + width, _FOOTER + 1.5, width, size=8, shade="grey", right=True
    )
