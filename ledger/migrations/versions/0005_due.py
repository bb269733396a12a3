"""How scheduled work finds what is due: indexes, built beside the traffic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = {
    "account_drawing_idx": ("account", ["draws_from"], "draws_from <> id"),
    "account_sponsor_idx": ("account", ["sponsor"], "sponsor IS NOT NULL"),
    "session_sponsoring_idx": ("session", ["sponsor"], "power_down_at IS NULL AND sponsor IS NOT NULL"),
    "device_paid_until_idx": (
        "device",
        ["paid_until", "device"],
        "account IS NOT NULL AND paid_until IS NOT NULL",
    ),
    "subscription_next_try_at_idx": (
        "subscription",
        ["next_try_at", "subscription"],
        "next_try_at IS NOT NULL",
    ),
    "subscription_owing_idx": ("subscription", ["account"], "status IN ('past_due', 'suspended')"),
}
# What is due is found by `next_try_at` by now.
SUPERSEDED = {
    "subscription_cancel_at_idx": "cancel_at",
    "subscription_next_payment_at_idx": "next_payment_at",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (table, columns, condition) in INDEXES.items():
            # One that was begun and broken off is there, and is of no use.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.create_index(
                name,
                table,
                columns,
                unique=False,
                postgresql_where=sa.text(condition),
                postgresql_concurrently=True,
            )
        for name in SUPERSEDED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def downgrade() -> None:
    for name, column in SUPERSEDED.items():
        op.create_index(
            name,
            "subscription",
            [column],
            unique=False,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
