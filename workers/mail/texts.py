"""What each mail says: plain text for people, short, with whom to ask for more.

Amounts are integers of the smallest unit, shown with `scale` decimals. Moments are aware, shown in the IANA zone
`zone`. `contact_…` is whom to ask: the parent of the account.
"""

from __future__ import annotations

from datetime import datetime
from textwrap import fill
from typing import NamedTuple

from workers.printed import amount_text, coins_text, minute_text

_WIDTH = 76
_SIGNATURE = "This mail was sent automatically by the prepaid credit system."


class Text(NamedTuple):
    subject: str
    body: str


def low_balance(
    *,
    account: str,
    account_name: str,
    available: int,
    threshold: str,
    reference: int | None,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    at: datetime,
    scale: int = 0,
) -> Text:
    """`threshold` in words, as in `25 % of 1,000` or `1,000 coins`; `reference`: available after the last inflow."""
    facts = [("Available", coins_text(available, scale)), ("Warning below", threshold)]
    if reference is not None:
        facts.append(("Measured against", coins_text(reference, scale)))
    return _text(
        f"Low balance: {_one_line(account_name)} ({account}) has {coins_text(available, scale)} left",
        f"The balance of {_named(account, account_name)} has fallen below its warning level.",
        _listed(*facts, ("As of", minute_text(at, zone))),
        _ask(contact_name, contact_email, "more coins"),
    )


def exhausted(
    *,
    account: str,
    account_name: str,
    available: int,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    at: datetime,
    scale: int = 0,
) -> Text:
    """Available is at or below 0."""
    return _text(
        f"No coins left: {_one_line(account_name)} ({account})",
        f"{_named(account, account_name)} has no coins left. Purchases and renewals are refused until coins come in; "
        "what is already running is still charged.",
        _listed(("Available", coins_text(available, scale)), ("As of", minute_text(at, zone))),
        _ask(contact_name, contact_email, "more coins"),
    )


def renewal_coming(
    *,
    subscription: str,
    product: str,
    account: str,
    account_name: str,
    amount: int,
    date: datetime,
    covered: bool,
    manual: bool = False,
    available: int | None = None,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    scale: int = 0,
) -> Text:
    """A renewal is due in some days. `covered`: by the balance as it is now; `manual`: somebody has to pay it by hand."""
    facts = [
        ("Subscription", f"{subscription} ({_one_line(product)})"),
        ("Amount", coins_text(amount, scale)),
        ("Due", minute_text(date, zone)),
    ]
    if available is not None:
        facts.append(("Available now", coins_text(available, scale)))
    if manual:
        outlook = "It is not paid automatically. Please pay it by then, or it goes past due."
    elif covered:
        outlook = "The balance covers it. There is nothing to do."
    else:
        outlook = "The balance does not cover it. Without more coins the renewal will fail."
    day = f"{minute_text(date, zone):.10}"
    return _text(
        f"Renewal on {day}: {subscription}, {coins_text(amount, scale)}"
        + ("" if covered or manual else ": not covered"),
        f"A subscription of {_named(account, account_name)} is about to be renewed.",
        _listed(*facts),
        outlook,
        _ask(contact_name, contact_email, "help" if covered or manual else "more coins"),
    )


def renewal_failed(
    *,
    subscription: str,
    product: str,
    account: str,
    account_name: str,
    cycle_no: int,
    amount: int,
    why: str,
    next_try: datetime | None,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    scale: int = 0,
) -> Text:
    """A renewal was refused; `why` in a sentence for people."""
    following = (
        "It is not tried again by itself."
        if next_try is None
        else f"It is tried again on {minute_text(next_try, zone)}, and as soon as an inflow of coins covers it."
    )
    return _text(
        f"Renewal failed: {subscription}, {coins_text(amount, scale)}",
        f"A subscription of {_named(account, account_name)} could not be renewed. It is past due.",
        _listed(*_owed(subscription, product, cycle_no, amount, scale), ("Reason", _one_line(why))),
        following,
        _ask(contact_name, contact_email, "more coins"),
    )


def payment_due(
    *,
    subscription: str,
    product: str,
    account: str,
    account_name: str,
    cycle_no: int,
    amount: int,
    due_at: datetime,
    suspended_at: datetime | None = None,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    scale: int = 0,
) -> Text:
    """A subscription that is paid by hand was not paid in time."""
    following = (
        "Please pay it now."
        if suspended_at is None
        else f"Please pay it now: without a payment it is suspended on {minute_text(suspended_at, zone)}."
    )
    return _text(
        f"Payment due: {subscription}, {coins_text(amount, scale)}",
        f"A subscription of {_named(account, account_name)} is not paid automatically, and it is past due.",
        _listed(
            *_owed(subscription, product, cycle_no, amount, scale), ("Due since", minute_text(due_at, zone))
        ),
        following,
        _ask(contact_name, contact_email, "help"),
    )


def subscription_suspended(
    *,
    subscription: str,
    product: str,
    account: str,
    account_name: str,
    cycle_no: int,
    amount: int,
    why: str | None = None,
    cancel_at: datetime,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    scale: int = 0,
) -> Text:
    """Every try to renew it failed; it is canceled at `cancel_at` unless it is paid before."""
    reason = [("Reason", _one_line(why))] if why else []
    return _text(
        f"Subscription suspended: {subscription}",
        f"A subscription of {_named(account, account_name)} is suspended, because its renewal was not paid.",
        _listed(*_owed(subscription, product, cycle_no, amount, scale), *reason),
        f"Paying it revives it, with its dates as they were. If it is not paid, it is canceled on "
        f"{minute_text(cancel_at, zone)}.",
        _ask(contact_name, contact_email, "more coins"),
    )


def renewals_at_risk(
    *,
    account: str,
    account_name: str,
    date: datetime,
    missing: int,
    due_total: int,
    available: int,
    days: int = 30,
    contact_name: str | None = None,
    contact_email: str | None = None,
    zone: str,
    scale: int = 0,
) -> Text:
    """What is due in the next `days` days is more than there is; `date`: of the first renewal that is not covered."""
    return _text(
        f"Renewals at risk: {_one_line(account_name)} ({account}) lacks {coins_text(missing, scale)}",
        f"The renewals of {_named(account, account_name)} in the next {days} days are not covered by its balance.",
        _listed(
            (f"Due in {days} days", coins_text(due_total, scale)),
            ("Available", coins_text(available, scale)),
            ("Missing", coins_text(missing, scale)),
            ("Covered until", minute_text(date, zone)),
        ),
        _ask(contact_name, contact_email, "more coins"),
    )


def receipt_attached(
    *, number: str, account: str, account_name: str, amount: int, what: str, scale: int = 0
) -> Text:
    """`what` was paid for, as in `Recharge` or the name of a product."""
    return _text(
        f"Receipt {number}: {coins_text(amount, scale)}",
        f"The receipt for {_named(account, account_name)} is attached.",
        _listed(("Receipt", number), ("For", _one_line(what)), ("Amount", coins_text(amount, scale))),
    )


def percent_of(percent: int, reference: int, scale: int = 0) -> str:
    """A threshold in words: `25 % of 1,000`."""
    return f"{percent} % of {amount_text(reference, scale)}"


def _text(subject: str, *paragraphs: str) -> Text:
    kept = [*paragraphs, _SIGNATURE]
    return Text(subject, "\n\n".join(one if "\n" in one else _filled(one) for one in kept if one) + "\n")


def _filled(paragraph: str) -> str:
    return fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _listed(*facts: tuple[str, str]) -> str:
    width = max(len(label) for label, _ in facts) + 2
    return "\n".join(f"  {label + ':':<{width}}{value}" for label, value in facts)


def _owed(
    subscription: str, product: str, cycle_no: int, amount: int, scale: int
) -> tuple[tuple[str, str], ...]:
    return (
        ("Subscription", f"{subscription} ({_one_line(product)})"),
        ("Cycle", str(cycle_no)),
        ("Amount", coins_text(amount, scale)),
    )


def _ask(contact_name: str | None, contact_email: str | None, what: str) -> str:
    name = _one_line(contact_name or "")
    whom = f"{name} ({contact_email})" if name and contact_email else name or contact_email
    return f"For {what}, ask {whom}." if whom else ""


def _named(account: str, account_name: str) -> str:
    name = _one_line(account_name)
    return f"account {account}" if name == account else f"{name} (account {account})"


def _one_line(text: str) -> str:
    return " ".join(text.split())
