"""The types that fields of messages have: what is allowed, said once (CONTRACT §3, "Messages in").

All checks work alike on values from JSON and on Python values. Integers are strict: `3.0`, `true` and `"3"` are refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

MAX_AMOUNT = 10**15
MAX_DEVICES = 500
FIRST_YEAR, LAST_YEAR = 2000, 2100
MAX_FACTOR = 1_000_000
MAX_DETAILS_BYTES = 16 * 1024
MAX_DETAILS_DEPTH = 16

NAME_PATTERN = r"[A-Za-z0-9_-]{1,64}"
SOURCE_PATTERN = rf"^{NAME_PATTERN}(/[A-Za-z0-9_.-]{{1,63}})?$"
NO_NUL = r"^[^\x00]*$"
MESSAGE_ID_PATTERN = r"^[ -~]{1,128}$"
ID_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
DEVICE_PATTERN = r"^[!-~]{1,64}$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
ORDER_NAME_PATTERN = r"^[A-Za-z0-9._-]{1,64}(/[1-9][0-9]{0,6})?$"
BILL_PATTERN = r"^[A-Za-z0-9._-]{1,80}$"
DECIMAL_PATTERN = r"^[0-9]{1,16}(\.[0-9]{1,6})?$"
PATTERNS_IN_WORDS = {
    ID_PATTERN: "must be an id: 1 to 64 of the letters A-Z and a-z, digits, dot, underscore and hyphen",
    DEVICE_PATTERN: "must be a device: 1 to 64 printable ASCII characters, no spaces",
    ORDER_NAME_PATTERN: "must be the id of an order, or of a subscription's, as in pro-7/2",
    BILL_PATTERN: "must be the id of a bill, as in carl.2026-10",
    CURRENCY_PATTERN: "must be a currency of three capital letters, as in EUR",
    MESSAGE_ID_PATTERN: "must be 1 to 128 printable ASCII characters",
    SOURCE_PATTERN: "must be a name, or name/part, as in device-mgmt/eu",
    NO_NUL: "must not contain NUL",
}
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
DEVICE = re.compile(DEVICE_PATTERN)
_DECIMAL = re.compile(r"\d{1,16}(\.\d{1,6})?", re.ASCII)
_EMAIL_TEXT = r"[^@\s\x00-\x1f\x7f<>,;]+@[^@\s\x00-\x1f\x7f<>,;]+"
_EMAIL = re.compile(_EMAIL_TEXT)
# An empty text clears a field of UpdateAccount.
EMAIL_PATTERN = rf"^({_EMAIL_TEXT})?$"


def parse_time(value: Any) -> datetime:
    """A moment in UTC from RFC 3339 text with a zone, or from an aware datetime; years 2000 to 2100."""
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise ValueError("a time must be RFC 3339 with a zone, as in 2026-11-22T08:00:00Z")
        value = datetime.fromisoformat(value.upper())
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("a time must be RFC 3339 text with a zone, as in 2026-11-22T08:00:00Z")
    try:
        moment: datetime = value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"the year must lie between {FIRST_YEAR} and {LAST_YEAR}") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year must lie between {FIRST_YEAR} and {LAST_YEAR}")
    return moment


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with a `Z`, microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _decimal_text(value: Any) -> str:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError('a decimal must be text with at most 6 places, as in "1.25"')
    exact = Decimal(value)
    return format(exact.normalize() if exact else Decimal(0), "f")


def _factor(value: str) -> str:
    if Decimal(value) > MAX_FACTOR:
        raise ValueError(f"must be at most {MAX_FACTOR}")
    return value


def is_email(text: str) -> bool:
    """Whether it looks like an address: one @ with something on both sides, and no space."""
    return _EMAIL.fullmatch(text) is not None


def _email(value: str) -> str:
    if value and not is_email(value):
        raise ValueError("must be an e-mail address, as in li.na@acme.example")
    return value


@lru_cache(maxsize=1024)
def _zone(value: str) -> str:
    if value:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a zone of the IANA database, as in Asia/Shanghai") from None
    return value


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("must not be 0")
    return value


_Item = TypeVar("_Item", bound=Hashable)


def _unique(values: list[_Item]) -> list[_Item]:
    if len(set(values)) != len(values):
        raise ValueError("must not name the same one twice")
    return values


def _details(value: dict[str, Any]) -> dict[str, Any]:
    _plain(value, MAX_DETAILS_DEPTH)
    if len(orjson.dumps(value)) > MAX_DETAILS_BYTES:
        raise ValueError(f"must be at most {MAX_DETAILS_BYTES // 1024} KiB as JSON")
    return value


def _plain(value: Any, depth: int) -> None:
    """Raises ValueError for what is no JSON, or what a database cannot keep as text."""
    if depth == 0:
        raise ValueError(f"must not be nested deeper than {MAX_DETAILS_DEPTH}")
    match value:
        case str():
            if "\x00" in value:
                raise ValueError(PATTERNS_IN_WORDS[NO_NUL])
            if not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
                raise ValueError("must be valid Unicode: it holds a lone surrogate")
        case dict():
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise ValueError("must have texts as names")
                _plain(key, depth)
                _plain(inner, depth - 1)
        case list():
            for inner in value:
                _plain(inner, depth - 1)
        case int():
            if not -(2**63) <= value < 2**63:
                raise ValueError("must hold integers of at most 64 bits")
        case float():
            # What is read from JSON is a float where an integer has more than 64 bits.
            if not isfinite(value) or (value.is_integer() and abs(value) >= 2**63):
                raise ValueError("must hold finite numbers of at most 64 bits")
        case None:
            pass
        case _:
            raise ValueError("must be JSON: objects, arrays, texts, numbers, booleans, null")


# What a schema says beyond the checks that pydantic knows of.
_UNIQUE = Field(json_schema_extra={"uniqueItems": True})
_TimeText = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
_DecimalText = Annotated[str, StringConstraints(pattern=DECIMAL_PATTERN)]

Integer = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Amount = Annotated[Integer, Field(ge=1, le=MAX_AMOUNT)]
AmountOrZero = Annotated[Integer, Field(ge=0, le=MAX_AMOUNT)]
SignedAmount = Annotated[
    Integer,
    Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, json_schema_extra={"not": {"const": 0}}),
    AfterValidator(_not_zero),
]
Quantity = Annotated[Integer, Field(ge=1, le=10_000)]
CycleNumber = Annotated[Integer, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
DeviceId = Annotated[str, StringConstraints(pattern=DEVICE_PATTERN)]
OrderName = Annotated[str, StringConstraints(pattern=ORDER_NAME_PATTERN)]
BillId = Annotated[str, StringConstraints(pattern=BILL_PATTERN)]
TransactionNumber = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Devices = Annotated[
    list[DeviceId], Field(min_length=1, max_length=MAX_DEVICES), AfterValidator(_unique), _UNIQUE
]
Ids = Annotated[list[Id], Field(max_length=100), AfterValidator(_unique), _UNIQUE]
Details = Annotated[dict[str, Any], AfterValidator(_details)]

Text = Annotated[str, StringConstraints(max_length=500, pattern=NO_NUL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
ShortText = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
Goods = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]],
    Field(max_length=MAX_DEVICES),
    AfterValidator(_unique),
    _UNIQUE,
]
Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(_email),
    Field(json_schema_extra={"pattern": EMAIL_PATTERN}),
]
Zone = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_zone),
    Field(json_schema_extra={"format": "time-zone"}),
]
Currency = Annotated[str, StringConstraints(pattern=CURRENCY_PATTERN)]

Time = Annotated[
    datetime,
    BeforeValidator(parse_time, json_schema_input_type=_TimeText),
    PlainSerializer(time_text, return_type=_TimeText),
]
DecimalText = Annotated[str, BeforeValidator(_decimal_text, json_schema_input_type=_DecimalText)]
Factor = Annotated[DecimalText, AfterValidator(_factor)]
MessageId = Annotated[str, StringConstraints(pattern=MESSAGE_ID_PATTERN)]
Source = Annotated[str, StringConstraints(pattern=SOURCE_PATTERN)]
