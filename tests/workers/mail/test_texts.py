"""What mails say to people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from workers.mail import texts
from workers.mail.texts import Text

AT = datetime(2026, 11, 22, 8, tzinfo=UTC)
WHO: dict[str, Any] = {"account": "carl", "account_name": "Carl Ltd", "zone": "Asia/Shanghai"}
PARENT: dict[str, Any] = {"contact_name": "Acme Distribution", "contact_email": "finance@acme.example"}
WHAT: dict[str, Any] = {**WHO, **PARENT, "subscription": "pro-7", "product": "Proxy 50 GB", "amount": 1400}
LOW: dict[str, Any] = {**WHO, **PARENT, "available": 1240, "reference": 10_000, "at": AT}

ALL: dict[str, Text] = {
    "low_balance": texts.low_balance(**LOW, threshold=texts.percent_of(25, 10_000)),
    "exhausted": texts.exhausted(**WHO, **PARENT, available=-12, at=AT),
    "renewal_coming": texts.renewal_coming(**WHAT, date=AT, covered=False, available=100),
    "renewal_failed": texts.renewal_failed(**WHAT, cycle_no=3, why="1,300 coins are missing", next_try=AT),
    "payment_due": texts.payment_due(**WHAT, cycle_no=3, due_at=AT),
    "subscription_suspended": texts.subscription_suspended(**WHAT, cycle_no=3, cancel_at=AT),
    "renewals_at_risk": texts.renewals_at_risk(
        **WHO, **PARENT, date=AT, missing=1100, due_total=2100, available=1000
    ),
}


@pytest.mark.parametrize("name", ALL)
def test_every_mail_names_the_account_the_day_and_whom_to_ask(name: str) -> None:
    body = ALL[name].body
    assert "Carl Ltd (account carl)" in body
    assert "2026-11-22 16:00 (Asia/Shanghai, UTC+08:00)" in " ".join(body.split())
    assert "ask Acme Distribution (finance@acme.example)." in body


@pytest.mark.parametrize("name", ALL)
def test_every_mail_is_one_line_of_subject_and_narrow_text(name: str) -> None:
    subject, body = ALL[name]
    assert "\n" not in subject
    assert max(map(len, body.splitlines())) <= 80
    assert body.endswith("\n")


def test_a_low_balance_says_how_much_is_left_of_what() -> None:
    subject, body = ALL["low_balance"]
    assert subject == "Low balance: Carl Ltd (carl) has 1,240 coins left"
    assert "Warning below:    25 % of 10,000\n" in body
    assert "Measured against: 10,000 coins\n" in body


def test_amounts_have_the_decimals_of_the_scale() -> None:
    subject, body = texts.low_balance(**LOW, threshold=texts.percent_of(25, 10_000, 2), scale=2)
    assert "has 12.40 coins left" in subject
    assert "25 % of 100.00" in body
    assert "-0.12 coins" in texts.exhausted(**WHO, available=-12, at=AT, scale=2).body
    assert (
        "1 coin\n"
        in texts.receipt_attached(
            number="r", account="carl", account_name="Carl", amount=1, what="Recharge"
        ).body
    )


def test_a_parent_of_which_less_is_known_is_named_by_what_is() -> None:
    def closing(name: str | None, email: str | None) -> str:
        return texts.exhausted(**WHO, available=0, at=AT, contact_name=name, contact_email=email).body

    assert "For more coins, ask Acme.\n" in closing("Acme", None)
    assert "For more coins, ask a@acme.example.\n" in closing(None, "a@acme.example")
    assert "ask" not in closing(None, None)


@pytest.mark.parametrize(
    ("covered", "manual", "said", "ask"),
    [
        (True, False, "There is nothing to do.", "For help"),
        (False, False, "the renewal will fail", "For more coins"),
        (False, True, "Please pay it by then", "For help"),
    ],
)
def test_a_coming_renewal_says_what_there_is_to_do(covered: bool, manual: bool, said: str, ask: str) -> None:
    subject, body = texts.renewal_coming(**WHAT, date=AT, covered=covered, manual=manual)
    assert said in body
    assert ask in body
    assert ("not covered" in subject) == (not covered and not manual)


def test_a_failed_renewal_says_why_and_when_next() -> None:
    _, body = ALL["renewal_failed"]
    assert "Reason:       1,300 coins are missing\n" in body
    assert "It is tried again on 2026-11-22 16:00" in body
    last = texts.renewal_failed(**WHAT, cycle_no=3, why="no coins", next_try=None)
    assert "not tried again" in last.body


def test_line_ends_in_a_name_do_not_reach_the_text() -> None:
    typed = {**LOW, "account_name": "Carl\n\nFrom: somebody", "contact_name": "Acme\r\nCorp"}
    subject, body = texts.low_balance(**typed, threshold="1 coin")
    assert "Carl From: somebody (carl)" in subject
    assert "Carl From: somebody (account carl)" in body
    assert "Acme Corp (finance@acme.example)" in body


def test_times_in_utc_say_so_once() -> None:
    assert "2026-11-22 08:00 (UTC)" in texts.exhausted(**{**WHO, "zone": "UTC"}, available=0, at=AT).body
