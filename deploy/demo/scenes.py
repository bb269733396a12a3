"""What is told step by step: who does what, and why it comes out so. Each step is one command, as it is sent.

This is an introduction to what can be sold. How the figures come out is not said here: it is reckoned, and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from deploy.demo.distribution import COEFFICIENT, RATE
from deploy.demo.reckon_usage import minutes_started
from deploy.demo.story import CLOUD, OFFICE, Chapter, Look, Message, encoded, event

POWERED_ON = datetime(2026, 3, 2, 8, 0, 10, tzinfo=UTC)
POWERED_OFF = datetime(2026, 3, 2, 17, 30, 30, tzinfo=UTC)
MINUTES = minutes_started(POWERED_ON, POWERED_OFF)


class Step(NamedTuple):
    tells: str
    source: str
    command: str
    data: dict[str, Any]


class Scene(NamedTuple):
    """Steps about the same thing; `id` begins the ids of their commands."""

    id: str
    title: str
    why: str
    watched: tuple[str, ...]
    steps: tuple[Step, ...]
    looks: tuple[Look, ...] = ()

    def chapter(self) -> Chapter:
        tells = [step.tells for step in self.steps]
        return Chapter(
            self.title,
            len(self.steps),
            why=self.why,
            tells=tells,
            watched=list(self.watched),
            looks=list(self.looks),
        )

    def messages(self) -> Iterator[Message]:
        for number, step in enumerate(self.steps, 1):
            content = event(step.source, f"{self.id}-{number}", step.command, step.data)
            yield Message(encoded(content), step.source)


def topped_up(amount: int, reference: str) -> dict[str, Any]:
    return {"account": "atlantico", "amount": amount, "reference": reference}


def granted(customer: str, amount: int) -> dict[str, Any]:
    return {"reseller": "mare", "customer": customer, "amount": amount}


def ordered(account: str, order: str, product: str, price: int) -> dict[str, Any]:
    return {"order": order, "account": account, "kind": "package", "product": product, "price": price}


SPONSOR = Scene(
    "sponsor",
    "A customer of a second-level reseller: whose coins are taken?",
    "Revenda Maré has none. It grants allotments; a purchase takes allotment and Atlântico's coins, both.",
    ("farol", "luanova", "atlantico"),
    (
        Step("Atlântico recharges 3,000", OFFICE, "TopUp", topped_up(3_000, "PIX-1001")),
        Step("Maré grants Farol 1,200", OFFICE, "AllocateCredit", granted("farol", 1_200)),
        Step("and Lua Nova 5,000: more than there is", OFFICE, "AllocateCredit", granted("luanova", 5_000)),
        Step(
            "Farol orders a render farm for 800",
            CLOUD,
            "PlaceOrder",
            ordered("farol", "farm-1", "Render farm", 800),
        ),
        Step(
            "Lua Nova orders a web shop for 2,500",
            CLOUD,
            "PlaceOrder",
            ordered("luanova", "shop-1", "Web shop", 2_500),
        ),
        Step(
            "Farol orders a second farm for 800",
            CLOUD,
            "PlaceOrder",
            ordered("farol", "farm-2", "Render farm", 800),
        ),
        Step("Atlântico recharges 6,000", OFFICE, "TopUp", topped_up(6_000, "PIX-1002")),
        Step(
            "Lua Nova orders its web shop again",
            CLOUD,
            "PlaceOrder",
            ordered("luanova", "shop-1", "Web shop", 2_500),
        ),
    ),
)

POSTPAID = Scene(
    "postpaid",
    "A resource that is paid for after use: frozen first",
    f"Activation freezes the estimate × {COEFFICIENT}; what is used comes out of that; the rest comes back.",
    ("ipanema", "atlantico"),
    (
        Step(
            "Atlântico gives Ipanema coins of its own",
            OFFICE,
            "Transfer",
            {"from_account": "atlantico", "to_account": "ipanema", "amount": 1_000},
        ),
        Step(
            "it activates a CDN, estimated at 500",
            CLOUD,
            "ActivatePostpaid",
            {"account": "ipanema", "resource": "cdn-1", "plan": "cdn", "estimate": 500},
        ),
        Step(
            "and orders a jingle for 400: too much, now",
            CLOUD,
            "PlaceOrder",
            ordered("ipanema", "jingle-1", "Jingle", 400),
        ),
        Step("the CDN used 240", CLOUD, "ReportUsage", {"resource": "cdn-1", "amount": 240}),
        Step("and 150 more", CLOUD, "ReportUsage", {"resource": "cdn-1", "amount": 150}),
        Step("it is terminated: the rest is free again", CLOUD, "TerminatePostpaid", {"resource": "cdn-1"}),
        Step(
            "a late report of 25 counts all the same",
            CLOUD,
            "ReportUsage",
            {"resource": "cdn-1", "amount": 25},
        ),
    ),
)

PHONE = Scene(
    "phone",
    "A cloud phone's day",
    f"{RATE} coins for each started minute, taken when it is off, rounded up once, in full.",
    ("luanova", "atlantico"),
    (
        Step(
            f"Lua Nova's phone CP-42 is on, {POWERED_ON:%H:%M:%S}",
            CLOUD,
            "PowerOn",
            {
                "account": "luanova",
                "session": "bakery-live",
                "phone": "CP-42",
                "plan": "cloud-phone",
                "at": f"{POWERED_ON:%Y-%m-%dT%H:%M:%SZ}",
            },
        ),
        Step(
            "Farol wants the same phone",
            CLOUD,
            "PowerOn",
            {
                "account": "farol",
                "session": "studio",
                "phone": "CP-42",
                "plan": "cloud-phone",
                "at": "2026-03-02T09:15:00Z",
            },
        ),
        Step(
            f"off, {POWERED_OFF:%H:%M:%S}: {MINUTES} minutes × {RATE}",
            CLOUD,
            "PowerOff",
            {"session": "bakery-live", "at": f"{POWERED_OFF:%Y-%m-%dT%H:%M:%SZ}"},
        ),
    ),
    (Look(2, "`coins order bakery-live`, at noon", "bakery-live", "2026-03-02T12:00:00Z"),),
)

SUBSCRIPTION = Scene(
    "subscription",
    "A package by subscription",
    "The first month is charged at once; each month that is paid is an order of its own.",
    ("luanova", "atlantico"),
    (
        Step(
            "Lua Nova subscribes: order shop-pro/1",
            CLOUD,
            "Subscribe",
            {"subscription": "shop-pro", "account": "luanova", "plan": "cloud-pro", "kind": "package"},
        ),
        Step(
            "the second month: order shop-pro/2",
            CLOUD,
            "Renewal",
            {"account": "luanova", "subscription": "shop-pro", "cycle_no": 2},
        ),
        Step(
            "a colleague pays the second month, too",
            OFFICE,
            "Renewal",
            {"account": "luanova", "subscription": "shop-pro", "cycle_no": 2},
        ),
        Step("it shall end with what is paid", CLOUD, "CancelSubscription", {"subscription": "shop-pro"}),
        Step(
            "so nothing more can be charged",
            CLOUD,
            "Renewal",
            {"account": "luanova", "subscription": "shop-pro"},
        ),
    ),
)

TWO_PROXIES = {
    "order": "proxies-1",
    "account": "ipanema",
    "kind": "proxy",
    "product": "Proxy São Paulo",
    "plan": "proxy",
    "quantity": 2,
}
METHOD = Scene(
    "method",
    "Another way to pay",
    "Methods are allowed by country. What comes in by another one is booked, and spent at once.",
    ("ipanema",),
    (
        Step(
            "in Brazil one pays by pix or boleto",
            OFFICE,
            "PutPaymentMethods",
            {"country": "BR", "methods": ["pix", "boleto"]},
        ),
        Step(
            "Ipanema orders two proxies by paypal", CLOUD, "PlaceOrder", {**TWO_PROXIES, "method": "paypal"}
        ),
        Step("and by pix", CLOUD, "PlaceOrder", {**TWO_PROXIES, "method": "pix", "payer": "Bia Lima"}),
    ),
)


def refunded(amount: int | None = None) -> dict[str, Any]:
    data = {"order": "farm-1", "note": "the farm stood still"}
    return data if amount is None else {**data, "amount": amount}


REFUND = Scene(
    "refund",
    "A refund in parts",
    "Farol's render farm stood still. Everybody who paid gets it back, never more than was charged.",
    ("farol", "atlantico"),
    (
        Step("300 of the 800 are given back", OFFICE, "Refund", refunded(300)),
        Step("300 more", OFFICE, "Refund", refunded(300)),
        Step("300 more", OFFICE, "Refund", refunded(300)),
        Step("then what is left", OFFICE, "Refund", refunded()),
    ),
)

SCENES = (SPONSOR, POSTPAID, PHONE, SUBSCRIPTION, METHOD, REFUND)
