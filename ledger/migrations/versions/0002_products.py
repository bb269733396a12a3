"""What is sold beyond devices: orders, cloud phones, holds, postpaid resources, subscriptions; bills, warnings, exports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHECKS = {
    "account_running_check": "running >= 0",
    "account_settled_check": "settled >= 0",
    "account_closed_runs_nothing_check": "state <> 'closed' OR (running = 0 AND settled = 0)",
}
APPEND_ONLY = ("subscription_cycle", "bill_line")


def upgrade() -> None:
    op.create_table(
        "bill",
        sa.Column("bill", sa.Text(), nullable=False, comment="<account>.<yyyy-mm>"),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False, comment="yyyy-mm"),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False, comment="of it, until it was confirmed"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transaction", sa.BigInteger(), nullable=True, comment="what returned it"),
        sa.CheckConstraint("status IN ('issued', 'confirmed')", name=op.f("bill_status_check")),
        sa.CheckConstraint("refunded BETWEEN 0 AND charged", name=op.f("bill_refunded_check")),
        sa.PrimaryKeyConstraint("bill", name=op.f("bill_pkey")),
    )
    op.create_index("bill_account_idx", "bill", ["account", "period"], unique=False)
    op.create_table(
        "bill_line",
        sa.Column("transaction", sa.BigInteger(), autoincrement=False, nullable=False, comment="billed once"),
        sa.Column("bill", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transaction", name=op.f("bill_line_pkey")),
    )
    op.create_index(op.f("bill_line_bill_idx"), "bill_line", ["bill"], unique=False)
    op.create_table(
        "export",
        sa.Column("export", sa.Text(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("filters", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("export", name=op.f("export_pkey")),
    )
    op.create_index("export_account_idx", "export", ["account", "requested_at"], unique=False)
    op.create_index(
        "export_requested_idx",
        "export",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("state = 'requested'"),
    )
    op.create_table(
        "hold",
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.BigInteger(), nullable=False, comment="settled when it was placed"),
        sa.Column("sponsor", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'captured', 'released', 'expired')", name=op.f("hold_state_check")
        ),
        sa.CheckConstraint("remaining BETWEEN 0 AND amount", name=op.f("hold_remaining_check")),
        sa.PrimaryKeyConstraint("hold", name=op.f("hold_pkey")),
    )
    op.create_index(
        "hold_account_idx", "hold", ["account"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index(
        "hold_expires_at_idx",
        "hold",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'open' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "hold_payer_idx", "hold", ["payer"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index(
        "hold_sponsor_idx",
        "hold",
        ["sponsor"],
        unique=False,
        postgresql_where=sa.text("state = 'open' AND sponsor IS NOT NULL"),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False, comment="a session's id; <subscription>/<cycle_no>"),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True, comment="null while a phone runs"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=True, comment="the person"),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True, comment="why it was canceled"),
        sa.Column("transaction", sa.BigInteger(), nullable=True, comment="what charged it"),
        sa.CheckConstraint("kind IN ('package', 'proxy', 'phone')", name=op.f("orders_kind_check")),
        sa.CheckConstraint(
            "status IN ('pending_payment', 'running', 'completed', 'canceled')",
            name=op.f("orders_status_check"),
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("orders_pkey")),
    )
    op.create_index(
        "orders_account_created_at_idx", "orders", ["account", "created_at", "order_id"], unique=False
    )
    op.create_index("orders_created_at_idx", "orders", ["created_at", "order_id"], unique=False)
    op.create_index(
        "orders_pending_idx",
        "orders",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending_payment'"),
    )
    op.create_index(
        "orders_phone_idx", "orders", ["phone"], unique=False, postgresql_where=sa.text("phone IS NOT NULL")
    )
    op.create_table(
        "payment_methods",
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("methods", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("country", name=op.f("payment_methods_pkey")),
    )
    op.create_table(
        "phone",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True, comment="null: it is off"),
        sa.PrimaryKeyConstraint("phone", name=op.f("phone_pkey")),
    )
    op.create_table(
        "resource",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.BigInteger(), nullable=False, comment="settled when it was activated"),
        sa.Column("sponsor", sa.BigInteger(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("estimate", sa.BigInteger(), nullable=False),
        sa.Column("coefficient", sa.Text(), nullable=False, comment="decimal"),
        sa.Column("frozen", sa.BigInteger(), nullable=False, comment="when it was activated"),
        sa.Column("remaining", sa.BigInteger(), nullable=False, comment="of it, still frozen"),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("terminated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('active', 'terminated')", name=op.f("resource_state_check")),
        sa.CheckConstraint("remaining BETWEEN 0 AND frozen", name=op.f("resource_remaining_check")),
        sa.PrimaryKeyConstraint("resource", name=op.f("resource_pkey")),
    )
    op.create_index(
        "resource_account_idx",
        "resource",
        ["account"],
        unique=False,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "resource_payer_idx",
        "resource",
        ["payer"],
        unique=False,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "resource_sponsor_idx",
        "resource",
        ["sponsor"],
        unique=False,
        postgresql_where=sa.text("state = 'active' AND sponsor IS NOT NULL"),
    )
    op.create_table(
        "session",
        sa.Column("session", sa.Text(), nullable=False, comment="its order goes by the same id"),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("payer", sa.BigInteger(), nullable=False, comment="settled at power-up"),
        sa.Column("sponsor", sa.BigInteger(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("rate", sa.Text(), nullable=False, comment="coins a minute, decimal"),
        sa.Column("power_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("power_down_at", sa.DateTime(timezone=True), nullable=True, comment="null: it runs"),
        sa.Column("minutes", sa.BigInteger(), nullable=True, comment="started ones"),
        sa.PrimaryKeyConstraint("session", name=op.f("session_pkey")),
    )
    op.create_index(
        "session_running_idx",
        "session",
        ["payer"],
        unique=False,
        postgresql_where=sa.text("power_down_at IS NULL"),
    )
    op.create_table(
        "subscription",
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False, comment="of the next cycle"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("goods", sa.ARRAY(sa.Text()), nullable=False, comment="of the next cycle"),
        sa.Column("used_by", sa.Text(), nullable=True),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False, comment="the account's, when it began"),
        sa.Column(
            "anchor", sa.DateTime(timezone=True), nullable=False, comment="dates are counted from here"
        ),
        sa.Column("anchor_no", sa.BigInteger(), nullable=False, comment="which cycle begins there"),
        sa.Column("cycle_unit", sa.Text(), nullable=False),
        sa.Column("cycle_count", sa.BigInteger(), nullable=False),
        sa.Column("paid_cycles", sa.BigInteger(), nullable=False),
        sa.Column("paid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_payment_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: nothing more is charged",
        ),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('device', 'package', 'proxy', 'phone')", name=op.f("subscription_kind_check")
        ),
        sa.CheckConstraint(
            "payment_method IN ('balance', 'manual')", name=op.f("subscription_payment_method_check")
        ),
        sa.CheckConstraint(
            "status IN ('scheduled', 'active', 'past_due', 'suspended', 'canceled')",
            name=op.f("subscription_status_check"),
        ),
        sa.PrimaryKeyConstraint("subscription", name=op.f("subscription_pkey")),
    )
    op.create_index("subscription_account_idx", "subscription", ["account"], unique=False)
    op.create_index(
        "subscription_cancel_at_idx",
        "subscription",
        ["cancel_at"],
        unique=False,
        postgresql_where=sa.text("cancel_at IS NOT NULL"),
    )
    op.create_index(
        "subscription_goods_idx",
        "subscription",
        ["goods"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.create_index(
        "subscription_next_payment_at_idx",
        "subscription",
        ["next_payment_at"],
        unique=False,
        postgresql_where=sa.text("next_payment_at IS NOT NULL"),
    )
    op.create_table(
        "subscription_cycle",
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("cycle_no", sa.BigInteger(), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("goods", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("begins_at < ends_at", name=op.f("subscription_cycle_period_check")),
        sa.PrimaryKeyConstraint("subscription", "cycle_no", name=op.f("subscription_cycle_pkey")),
    )
    op.create_table(
        "warning",
        sa.Column("warning", sa.Text(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("percent", sa.BigInteger(), nullable=True),
        sa.Column("emails", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(amount IS NULL) <> (percent IS NULL)", name=op.f("warning_amount_or_percent_check")
        ),
        sa.PrimaryKeyConstraint("warning", name=op.f("warning_pkey")),
    )
    op.create_index(
        "warning_account_idx",
        "warning",
        ["account"],
        unique=False,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.add_column(
        "account",
        sa.Column(
            "running",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="pending orders, live subscriptions",
        ),
    )
    op.add_column(
        "account",
        sa.Column(
            "settled",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="open holds, resources and sessions, its own or on its coins",
        ),
    )
    op.add_column(
        "account",
        sa.Column(
            "notifications",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="mails about warnings",
        ),
    )
    op.create_index("bill_period_idx", "bill", ["period", "bill"], unique=False)
    # Checked from now on, without a look at every account while everybody waits: the next revision has that look.
    for name, condition in CHECKS.items():
        op.execute(f"ALTER TABLE account ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for name in CHECKS:
        op.drop_constraint(name, "account")
    op.drop_column("account", "notifications")
    op.drop_column("account", "settled")
    op.drop_column("account", "running")
    op.drop_index("warning_account_idx", table_name="warning", postgresql_where=sa.text("removed_at IS NULL"))
    op.drop_table("warning")
    op.drop_table("subscription_cycle")
    op.drop_index(
        "subscription_next_payment_at_idx",
        table_name="subscription",
        postgresql_where=sa.text("next_payment_at IS NOT NULL"),
    )
    op.drop_index("subscription_goods_idx", table_name="subscription", postgresql_using="gin")
    op.drop_index(
        "subscription_cancel_at_idx",
        table_name="subscription",
        postgresql_where=sa.text("cancel_at IS NOT NULL"),
    )
    op.drop_index("subscription_account_idx", table_name="subscription")
    op.drop_table("subscription")
    op.drop_index(
        "session_running_idx", table_name="session", postgresql_where=sa.text("power_down_at IS NULL")
    )
    op.drop_table("session")
    op.drop_index(
        "resource_sponsor_idx",
        table_name="resource",
        postgresql_where=sa.text("state = 'active' AND sponsor IS NOT NULL"),
    )
    op.drop_index("resource_payer_idx", table_name="resource", postgresql_where=sa.text("state = 'active'"))
    op.drop_index("resource_account_idx", table_name="resource", postgresql_where=sa.text("state = 'active'"))
    op.drop_table("resource")
    op.drop_table("phone")
    op.drop_table("payment_methods")
    op.drop_index("orders_phone_idx", table_name="orders", postgresql_where=sa.text("phone IS NOT NULL"))
    op.drop_index(
        "orders_pending_idx", table_name="orders", postgresql_where=sa.text("status = 'pending_payment'")
    )
    op.drop_index("orders_created_at_idx", table_name="orders")
    op.drop_index("orders_account_created_at_idx", table_name="orders")
    op.drop_table("orders")
    op.drop_index(
        "hold_sponsor_idx",
        table_name="hold",
        postgresql_where=sa.text("state = 'open' AND sponsor IS NOT NULL"),
    )
    op.drop_index("hold_payer_idx", table_name="hold", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(
        "hold_expires_at_idx",
        table_name="hold",
        postgresql_where=sa.text("state = 'open' AND expires_at IS NOT NULL"),
    )
    op.drop_index("hold_account_idx", table_name="hold", postgresql_where=sa.text("state = 'open'"))
    op.drop_table("hold")
    op.drop_index(
        "export_requested_idx", table_name="export", postgresql_where=sa.text("state = 'requested'")
    )
    op.drop_index("export_account_idx", table_name="export")
    op.drop_table("export")
    op.drop_index(op.f("bill_line_bill_idx"), table_name="bill_line")
    op.drop_table("bill_line")
    op.drop_index("bill_account_idx", table_name="bill")
    op.drop_table("bill")
