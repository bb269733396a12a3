"""What is sold and what belongs to it: plans, devices, orders, holds, resources, subscriptions, bills, warnings, exports."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from ledger.tables.base import Moment, metadata

plan = Table(
    "plan",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("price", BigInteger),
    Column("rate", Text, comment="coins a minute, decimal"),
    Column("cycle_unit", Text),
    Column("cycle_count", Integer),
    Column("coefficient", Text, comment="decimal"),
)

device = Table(
    "device",
    metadata,
    Column("device", Text, primary_key=True),
    Column("account", BigInteger, comment="null: released"),
    Column("plan", Text),
    Column("onboarded_at", Moment, nullable=False),
    Column("paid_until", Moment),
    Index("device_account_idx", "account", postgresql_where=text("account IS NOT NULL")),
    Index(
        "device_paid_until_idx",
        "paid_until",
        postgresql_where=text("account IS NOT NULL AND paid_until IS NOT NULL"),
    ),
)

payment_methods = Table(
    "payment_methods",
    metadata,
    Column("country", Text, primary_key=True),
    Column("methods", ARRAY(Text), nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", Text, primary_key=True, comment="a session's id; <subscription>/<cycle_no>"),
    Column("account", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("product", Text),
    Column("plan", Text),
    Column("price", BigInteger),
    Column("quantity", BigInteger, nullable=False),
    Column("amount", BigInteger, comment="null while a phone runs"),
    Column("status", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("payer", Text, comment="the person"),
    Column("phone", Text),
    Column("details", Text, comment="JSON"),
    Column("created_at", Moment, nullable=False),
    Column("paid_at", Moment),
    Column("canceled_at", Moment),
    Column("note", Text, comment="why it was canceled"),
    Column("transaction", BigInteger, comment="what charged it"),
    CheckConstraint("kind IN ('package', 'proxy', 'phone')", name="kind"),
    CheckConstraint("status IN ('pending_payment', 'running', 'completed', 'canceled')", name="status"),
    Index("orders_account_created_at_idx", "account", "created_at", "order_id"),
    Index("orders_created_at_idx", "created_at", "order_id"),
    Index("orders_phone_idx", "phone", postgresql_where=text("phone IS NOT NULL")),
    Index("orders_pending_idx", "created_at", postgresql_where=text("status = 'pending_payment'")),
)

session = Table(
    "session",
    metadata,
    Column("session", Text, primary_key=True, comment="its order goes by the same id"),
    Column("account", BigInteger, nullable=False),
    Column("payer", BigInteger, nullable=False, comment="settled at power-up"),
    Column("sponsor", BigInteger),
    Column("phone", Text, nullable=False),
    Column("rate", Text, nullable=False, comment="coins a minute, decimal"),
    Column("power_up_at", Moment, nullable=False),
    Column("power_down_at", Moment, comment="null: it runs"),
    Column("minutes", BigInteger, comment="started ones"),
    Index("session_running_idx", "payer", postgresql_where=text("power_down_at IS NULL")),
    Index(
        "session_sponsoring_idx",
        "sponsor",
        postgresql_where=text("power_down_at IS NULL AND sponsor IS NOT NULL"),
    ),
)

phone = Table(
    "phone",
    metadata,
    Column("phone", Text, primary_key=True),
    Column("session", Text, comment="null: it is off"),
)

hold = Table(
    "hold",
    metadata,
    Column("hold", Text, primary_key=True),
    Column("account", BigInteger, nullable=False),
    Column("payer", BigInteger, nullable=False, comment="settled when it was placed"),
    Column("sponsor", BigInteger),
    Column("amount", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("purpose", Text),
    Column("placed_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("ended_at", Moment),
    CheckConstraint("state IN ('open', 'captured', 'released', 'expired')", name="state"),
    CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
    Index("hold_account_idx", "account", postgresql_where=text("state = 'open'")),
    Index("hold_payer_idx", "payer", postgresql_where=text("state = 'open'")),
    Index("hold_sponsor_idx", "sponsor", postgresql_where=text("state = 'open' AND sponsor IS NOT NULL")),
    Index(
        "hold_expires_at_idx",
        "expires_at",
        postgresql_where=text("state = 'open' AND expires_at IS NOT NULL"),
    ),
)

resource = Table(
    "resource",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("account", BigInteger, nullable=False),
    Column("payer", BigInteger, nullable=False, comment="settled when it was activated"),
    Column("sponsor", BigInteger),
    Column("plan", Text),
    Column("estimate", BigInteger, nullable=False),
    Column("coefficient", Text, nullable=False, comment="decimal"),
    Column("frozen", BigInteger, nullable=False, comment="when it was activated"),
    Column("remaining", BigInteger, nullable=False, comment="of it, still frozen"),
    Column("used", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("activated_at", Moment, nullable=False),
    Column("terminated_at", Moment),
    CheckConstraint("state IN ('active', 'terminated')", name="state"),
    CheckConstraint("remaining BETWEEN 0 AND frozen", name="remaining"),
    Index("resource_account_idx", "account", postgresql_where=text("state = 'active'")),
    Index("resource_payer_idx", "payer", postgresql_where=text("state = 'active'")),
    Index(
        "resource_sponsor_idx", "sponsor", postgresql_where=text("state = 'active' AND sponsor IS NOT NULL")
    ),
)

subscription = Table(
    "subscription",
    metadata,
    Column("subscription", Text, primary_key=True),
    Column("account", BigInteger, nullable=False),
    Column("plan", Text, nullable=False, comment="of the next cycle"),
    Column("kind", Text, nullable=False),
    Column("goods", ARRAY(Text), nullable=False, comment="of the next cycle"),
    Column("used_by", Text),
    Column("payment_method", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("start_at", Moment, nullable=False),
    Column("zone", Text, nullable=False, comment="the account's, when it began"),
    Column("anchor", Moment, nullable=False, comment="dates are counted from here"),
    Column("anchor_no", BigInteger, nullable=False, comment="which cycle begins there"),
    Column("cycle_unit", Text, nullable=False),
    Column("cycle_count", BigInteger, nullable=False),
    Column("paid_cycles", BigInteger, nullable=False),
    Column("paid_until", Moment),
    Column("next_payment_at", Moment, comment="null: nothing more is charged"),
    Column("cancel_at", Moment),
    Column("canceled_at", Moment),
    Column("deleted_at", Moment),
    Column("next_try_at", Moment, comment="when the billing cycle looks at it next; null: never"),
    Column("past_due_since", Moment, comment="since when its next cycle is owed"),
    Column("refused_for", Text, comment="why it could not be charged last"),
    CheckConstraint("kind IN ('device', 'package', 'proxy', 'phone')", name="kind"),
    CheckConstraint("payment_method IN ('balance', 'manual')", name="payment_method"),
    CheckConstraint("status IN ('scheduled', 'active', 'past_due', 'suspended', 'canceled')", name="status"),
    Index("subscription_account_idx", "account"),
    Index("subscription_goods_idx", "goods", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    Index(
        "subscription_next_payment_at_idx",
        "next_payment_at",
        postgresql_where=text("next_payment_at IS NOT NULL"),
    ),
    Index("subscription_next_try_at_idx", "next_try_at", postgresql_where=text("next_try_at IS NOT NULL")),
    Index("subscription_owing_idx", "account", postgresql_where=text("status IN ('past_due', 'suspended')")),
)

subscription_cycle = Table(
    "subscription_cycle",
    metadata,
    Column("subscription", Text, nullable=False),
    Column("cycle_no", BigInteger, nullable=False),
    Column("begins_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("plan", Text, nullable=False),
    Column("goods", ARRAY(Text), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("paid_at", Moment, nullable=False),
    Column("transaction", BigInteger, nullable=False),
    PrimaryKeyConstraint("subscription", "cycle_no"),
    CheckConstraint("begins_at < ends_at", name="period"),
)

bill = Table(
    "bill",
    metadata,
    Column("bill", Text, primary_key=True, comment="<account>.<yyyy-mm>"),
    Column("account", BigInteger, nullable=False),
    Column("period", Text, nullable=False, comment="yyyy-mm"),
    Column("begins_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("charged", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False, comment="of it, until it was confirmed"),
    Column("status", Text, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("confirmed_by", Text),
    Column("confirmed_at", Moment),
    Column("transaction", BigInteger, comment="what returned it"),
    CheckConstraint("status IN ('issued', 'confirmed')", name="status"),
    CheckConstraint("refunded BETWEEN 0 AND charged", name="refunded"),
    Index("bill_account_idx", "account", "period"),
    Index("bill_period_idx", "period", "bill"),
)

bill_line = Table(
    "bill_line",
    metadata,
    Column("transaction", BigInteger, primary_key=True, autoincrement=False, comment="billed once"),
    Column("bill", Text, nullable=False, index=True),
    Column("amount", BigInteger, nullable=False),
)

warning = Table(
    "warning",
    metadata,
    Column("warning", Text, primary_key=True),
    Column("account", BigInteger, nullable=False),
    Column("set_by", BigInteger, nullable=False),
    Column("amount", BigInteger),
    Column("percent", BigInteger),
    Column("emails", ARRAY(Text), nullable=False),
    Column("set_at", Moment, nullable=False),
    Column("removed_at", Moment),
    CheckConstraint("(amount IS NULL) <> (percent IS NULL)", name="amount_or_percent"),
    Index("warning_account_idx", "account", postgresql_where=text("removed_at IS NULL")),
)

export = Table(
    "export",
    metadata,
    Column("export", Text, primary_key=True),
    Column("account", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
    Column("filters", Text, nullable=False, comment="JSON"),
    Column("format", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("ready_at", Moment),
    Column("path", Text, comment="below FILES_DIR"),
    Column("rows", BigInteger),
    Column("bytes", BigInteger),
    Column("sha256", Text),
    Column("why", Text, comment="why it failed"),
    CheckConstraint("state IN ('requested', 'running', 'ready', 'failed', 'removed')", name="state"),
    Index("export_account_idx", "account", "requested_at"),
    Index("export_requested_idx", "requested_at", postgresql_where=text("state IN ('requested', 'running')")),
)
