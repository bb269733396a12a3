"""A receipt as the ledger keeps it, printed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from workers.receipts.receipt import Receipt

_MOMENTS = ("issued_at", "posted_at")


def printed(content: str, *, scale: int = 0) -> bytes:
    """The PDF of what `ledger/receipts.py` has kept of a receipt: the same bytes every time."""
    # Whoever prints nothing need not load what sets type: a third of the time in which a process starts.
    from workers.receipts.pdf import render

    fields: dict[str, Any] = orjson.loads(content)
    for name in _MOMENTS:
        fields[name] = datetime.fromisoformat(fields[name])
    return render(Receipt(**fields), scale=scale)
