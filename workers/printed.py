"""How amounts and moments are printed for people, on receipts and in mails."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def amount_text(value: int, scale: int = 0) -> str:
    """An amount of the smallest unit with thousands separators and `scale` decimals."""
    whole, part = divmod(abs(value), 10**scale)
    decimals = f".{part:0{scale}d}" if scale else ""
    return f"{'-' if value < 0 else ''}{whole:,}{decimals}"


def coins_text(value: int, scale: int = 0) -> str:
    """As `amount_text`, with the unit: `1 coin`, `1,000 coins`."""
    return f"{amount_text(value, scale)} {'coin' if abs(value) == 10**scale else 'coins'}"


def moment_text(moment: datetime, zone: str) -> str:
    """Date and time to the second in the IANA zone `zone`, with the offset: `2026-11-22 16:00:05 UTC+08:00`."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} {_offset(local)}"


def minute_text(moment: datetime, zone: str) -> str:
    """Date and time to the minute with the zone named: `2026-11-22 16:00 (Asia/Shanghai, UTC+08:00)`."""
    local = moment.astimezone(ZoneInfo(zone))
    offset = _offset(local)
    return (
        f"{local:%Y-%m-%d %H:%M} ({offset})"
        if zone == "UTC"
        else f"{local:%Y-%m-%d %H:%M} ({zone}, {offset})"
    )


def _offset(local: datetime) -> str:
    offset = f"{local:%z}"
    return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"
