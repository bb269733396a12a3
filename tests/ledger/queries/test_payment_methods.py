from __future__ import annotations

from typing import Any

import psycopg
import pytest

from ledger.errors import QueryInvalid
from ledger.queries.payment_methods import PaymentMethodsRow, payment_methods
from tests import builders as a
from tests.desk import LedgerDesk

Reader = psycopg.Connection[Any]


@pytest.fixture
def put(desk: LedgerDesk) -> LedgerDesk:
    desk.do(a.methods("CN", "wechat", "alipay"), a.methods("DE", "sepa"), a.methods("FR"))
    desk.do(a.methods("CN", "wechat", "alipay_plus"))
    return desk


def test_methods_are_listed_as_they_were_put(put: LedgerDesk, reader: Reader) -> None:
    assert payment_methods(reader).rows == [
        PaymentMethodsRow("CN", ["wechat", "alipay_plus"]),
        PaymentMethodsRow("DE", ["sepa"]),
        PaymentMethodsRow("FR", []),
    ]


@pytest.mark.parametrize(
    ("search", "expected"),
    [("cn", ["CN"]), ("SEPA", ["DE"]), ("_", ["CN"]), ("%", []), ("", ["CN", "DE", "FR"])],
)
def test_methods_are_searched_by_country_and_method(
    put: LedgerDesk, reader: Reader, search: str, expected: list[str]
) -> None:
    assert [row.country for row in payment_methods(reader, search=search).rows] == expected


def test_pages_of_methods_join_up(put: LedgerDesk, reader: Reader) -> None:
    first = payment_methods(reader, limit=2)
    second = payment_methods(reader, limit=2, after=first.next)

    assert [row.country for row in first.rows + second.rows] == ["CN", "DE", "FR"]
    assert (first.next, second.next) == ("DE", None)
    with pytest.raises(QueryInvalid, match="--limit"):
        payment_methods(reader, limit=0)
