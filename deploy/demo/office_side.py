"""The back office: opens accounts in the morning, and recharges and moves coins all day, with the mistakes people make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from deploy.demo.cast import (
    BRANCHES,
    CREDIT_LIMITS,
    ENTERPRISES,
    PLANS,
    RECALLED,
    RECALLED_FROM,
    RECHARGES,
    SUSPENDED,
    Enterprise,
)
from deploy.demo.distribution import COUNTRY, MEMBERS, TIMEZONE
from deploy.demo.distribution import PLANS as CLOUD_PLANS
from deploy.demo.story import OFFICE, Key, Message, encoded, event

OPENS_AT = datetime(2026, 3, 2, 7, tzinfo=UTC)
RECHARGES_IN_THE_DAY = 90


class OfficeSide:
    """Makes the back office's messages. `bounced` and `recharged_again` are for the evening."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._time = OPENS_AT
        self._number = 0
        self.bounced: Key = (OFFICE, "")
        self.recharged_again: dict[str, Any] = {}

    def morning(self) -> list[Message]:
        """Plans, accounts, limits, recharges, coins for the branches."""
        events = [self._event("PutPlan", dict(plan)) for plan in (*PLANS, *CLOUD_PLANS)]
        for enterprise in ENTERPRISES:
            events += self._opened(enterprise)
        recharges = [one for enterprise in ENTERPRISES for one in self._recharges(enterprise)]
        events += recharges
        events.append(recharges[1])  # the same delivery once more
        events.append(
            self._event("TopUp", dict(recharges[0]["data"]))
        )  # the same wire, booked by a colleague
        events += self._for_branches()
        events += self._morning_mistakes()
        events.append(
            self._event("SuspendAccount", {"account": SUSPENDED, "note": "no contract since 1 March"})
        )
        events += [
            self._event("OpenAccount", {**member._asdict(), "country": COUNTRY, "timezone": TIMEZONE})
            for member in MEMBERS
        ]
        return [_message(one) for one in events]

    def day(self) -> list[Message]:
        """Recharges of top accounts, a transfer now and then, address changes; some twice, some broken."""
        events: list[Any] = []
        for number in range(RECHARGES_IN_THE_DAY):
            enterprise = ENTERPRISES[number % len(ENTERPRISES)]
            events.append(self._recharge(enterprise, self._random.randrange(20, 400) * 10))
            if number % 15 == 7:
                events.append(events[-1])
            if number % 20 == 11:
                events.append(self._changed(events[-1]))
            if number % 18 == 5:
                events.append(self._reused_reference(events[-1]))
            if number % 10 == 3:
                events.append(
                    self._event(
                        "UpdateAccount",
                        {"account": enterprise.account, "address": f"{enterprise.address} / {number}"},
                    )
                )
        bounced = events[0]
        self.bounced = (bounced["source"], bounced["id"])
        self.recharged_again = {**bounced["data"], "note": "the wire has come in after all"}
        return [_message(one) for one in [*events, *self._broken()]]

    def _opened(self, enterprise: Enterprise) -> list[dict[str, Any]]:
        own = {
            name: getattr(enterprise, name)
            for name in (
                "account",
                "name",
                "email",
                "boss_email",
                "country",
                "timezone",
                "legal_name",
                "tax_id",
            )
        }
        head = {**own, "parent": "platform", "kind": "enterprise", "address": enterprise.address}
        events = [self._event("OpenAccount", head)]
        for branch in BRANCHES:
            if branch.top == enterprise.account:
                data = {
                    "account": branch.account,
                    "parent": branch.parent,
                    "kind": "branch",
                    "name": branch.name,
                    "funding": branch.funding,
                    "email": branch.email,
                    "country": enterprise.country,
                    "timezone": enterprise.timezone,
                }
                events.append(self._event("OpenAccount", data))
        if limit := CREDIT_LIMITS.get(enterprise.account):
            events.append(
                self._event("SetCreditLimit", {"account": enterprise.account, "credit_limit": limit})
            )
        return events

    def _recharges(self, enterprise: Enterprise) -> list[dict[str, Any]]:
        return [self._recharge(enterprise, amount) for amount in RECHARGES[enterprise.account]]

    def _recharge(self, enterprise: Enterprise, amount: int) -> dict[str, Any]:
        data = {
            "account": enterprise.account,
            "amount": amount,
            "reference": f"{enterprise.bank_reference}-{self._number + 40_001}",
            "payer": enterprise.legal_name,
            "paid": {"currency": enterprise.currency, "amount": f"{amount / 10:.2f}"},
        }
        return self._event("TopUp", data, actor=enterprise.actor)

    def _for_branches(self) -> list[dict[str, Any]]:
        actors = {one.account: one.actor for one in ENTERPRISES}
        events = [
            self._event(
                "Transfer",
                {"from_account": branch.top, "to_account": branch.account, "amount": branch.allotted},
                actor=actors[branch.top],
            )
            for branch in BRANCHES
            if branch.allotted
        ]
        top = RECALLED_FROM.partition("-")[0]
        recalled = {"from_account": RECALLED_FROM, "to_account": top, "amount": RECALLED, "ordered_by": top}
        events.append(self._event("Transfer", {**recalled, "note": "zu viel überwiesen"}, actor=actors[top]))
        events.append(
            self._event(
                "Adjust",
                {"account": "solsur-sevilla", "amount": 250, "note": "saldo a favor del contrato anterior"},
            )
        )
        return events

    def _morning_mistakes(self) -> list[dict[str, Any]]:
        mistakes: list[tuple[str, dict[str, Any]]] = [
            (
                "OpenAccount",
                {"account": "huaxin", "parent": "platform", "kind": "enterprise", "name": "华信"},
            ),
            ("OpenAccount", {"account": "bonn", "parent": "platform", "kind": "branch", "name": "Bonn"}),
            ("TopUp", {"account": "huaxin-pudong", "amount": 1_000, "reference": "ICBC-1"}),
            ("TopUp", {"account": "rheinthal", "amount": 1_000, "reference": "SEPA-1"}),
            ("SetCreditLimit", {"account": "solsur-triana", "credit_limit": 500}),
            ("Transfer", {"from_account": "solsur", "to_account": "solsur", "amount": 1}),
            (
                "Transfer",
                {"from_account": "rheintal-koeln", "to_account": "rheintal-muenchen", "amount": 2_000},
            ),
            (
                "Transfer",
                {
                    "from_account": "solsur-malaga",
                    "to_account": "solsur",
                    "amount": 90_000,
                    "ordered_by": "solsur",
                },
            ),
            ("CloseAccount", {"account": "huaxin-shanghai", "note": "moved"}),
        ]
        return [self._event(type_, data) for type_, data in mistakes]

    def _changed(self, original: dict[str, Any]) -> dict[str, Any]:
        """The key of a command that is known, with another amount."""
        return {**original, "data": {**original["data"], "amount": original["data"]["amount"] + 1}}

    def _reused_reference(self, original: dict[str, Any]) -> dict[str, Any]:
        data = {name: original["data"][name] for name in ("account", "amount", "reference")}
        return self._event("TopUp", {**data, "note": "booked a second time"})

    def _broken(self) -> list[dict[str, Any]]:
        as_text = self._event("TopUp", {"account": "solsur", "amount": "1.500", "reference": "IBAN-77001"})
        mended = {**as_text, "data": {**as_text["data"], "amount": 1_500}}
        return [
            as_text,
            mended,  # the key was still free: decided as if nothing had been
            self._event("TopUp", {"account": "huaxin", "amount": 88.8}),
            self._event("Transfer", {"from_account": "huaxin", "to_acount": "huaxin-shanghai", "amount": 5}),
            self._event("PayInvoice", {"account": "rheintal", "invoice": "R-2026-118"}),
        ]

    def _event(self, type_: str, data: dict[str, Any], actor: str | None = None) -> dict[str, Any]:
        self._number += 1
        self._time += timedelta(seconds=self._random.randrange(5, 90))
        time = self._time.isoformat().replace("+00:00", "Z")
        return event(OFFICE, f"bo-{self._number:04d}", type_, data, time=time, actor=actor)


def _message(content: Any) -> Message:
    return Message(encoded(content), OFFICE)
