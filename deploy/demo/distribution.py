"""Who else takes part: a distributor, its second-level reseller, their customers, and what a cloud platform sells them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Member(NamedTuple):
    account: str
    parent: str
    kind: str
    funding: str
    name: str
    email: str


# Revenda Maré has no coins. It grants its customers allotments, and what they buy, Atlântico pays. Ipanema has coins.
MEMBERS = (
    Member("atlantico", "platform", "distributor", "own", "Atlântico", "contas@atlantico.example"),
    Member("mare", "atlantico", "reseller", "own", "Revenda Maré", "vendas@mare.example"),
    Member("farol", "mare", "customer", "sponsored", "Farol", "ana@farol.example"),
    Member("luanova", "mare", "customer", "sponsored", "Lua Nova", "joao@luanova.example"),
    Member("ipanema", "atlantico", "customer", "own", "Ipanema", "bia@ipanema.example"),
)
COUNTRY, TIMEZONE = "BR", "America/Sao_Paulo"

RATE = "0.35"  # coins a minute
COEFFICIENT = "1.3"
PLANS: tuple[dict[str, Any], ...] = (
    {"plan": "cloud-phone", "name": "Cloud phone", "kind": "phone", "rate": RATE},
    {"plan": "cdn", "name": "Content delivery", "kind": "postpaid", "coefficient": COEFFICIENT},
    {
        "plan": "cloud-pro",
        "name": "Cloud Pro",
        "kind": "package",
        "price": 90,
        "cycle": {"unit": "month", "count": 1},
    },
    {"plan": "proxy", "name": "Proxy", "kind": "proxy", "price": 120, "cycle": {"unit": "month", "count": 1}},
)
