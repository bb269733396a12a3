"""Examples of receipts, and what a reader sees of a PDF."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

from pypdf import PdfReader

from workers.receipts.receipt import Receipt

RECHARGE = Receipt(
    number="acme-2026-000001",
    kind="recharge",
    issued_at=datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC),
    posted_at=datetime(2026, 11, 22, 7, 59, 58, tzinfo=UTC),
    zone="Asia/Shanghai",
    top_account="acme",
    top_account_name="Müller & Söhne Größenwahn GmbH",
    account="acme-cn",
    account_name="Acme China",
    legal_name="深圳市云程科技有限公司",
    tax_id="91440300MA5EXAMPLE",
    address="深圳市南山区科技园南路 18 号\n518057 深圳",
    transaction="T-2026-0000001234",
    amount=1_250_000,
    paid_currency="CNY",
    paid_amount="8750.5",
    method="bank_transfer",
    reference="WIRE-881",
    payer="li.na@acme.example",
)
ORDER = Receipt(
    number="acme-2026-000002",
    kind="order",
    issued_at=datetime(2026, 7, 1, 8, tzinfo=UTC),
    posted_at=datetime(2026, 7, 1, 8, tzinfo=UTC),
    zone="Europe/Berlin",
    top_account="acme",
    top_account_name="Acme Distribution",
    account="carl",
    account_name="Carl Ltd",
    transaction="T-2026-0000001235",
    amount=1200,
    item="Proxy 50 GB",
    quantity=3,
    unit_price=400,
    order="pro-7/2",
)


def pages_of(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]


def text_of(pdf: bytes) -> str:
    (page,) = pages_of(pdf)
    return page
