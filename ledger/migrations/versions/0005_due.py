"""How scheduled work finds what is due: indexes, built beside the traffic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = {
    "account_drawing_idx": ("account", "draws_from", "draws_from <> id"),
    "account_sponsor_idx": ("account", "sponsor", "sponsor IS NOT NULL"),
    "session_sponsoring_idx": ("session", "sponsor", "power_down_at IS NULL AND sponsor IS NOT NULL"),
    "device_paid_until_idx": ("device", "paid_until", "account IS NOT NULL AND paid_until IS NOT NULL"),
    "subscription_next_try_at_idx": ("subscription", "next_try_at", "next_try_at IS NOT NULL"),
    "subscription_owing_idx": ("subscription", "account", "status IN ('past_due', 'suspended')"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (table, column, condition) in INDEXES.items():
            # One that was begun and broken off is there, and is of no use.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.create_index(
                name,
                table,
                [column],
                unique=False,
                postgresql_where=sa.text(condition),
                postgresql_concurrently=True,
            )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS subscription_cancel_at_idx")


def downgrade() -> None:
    op.create_index(
        "subscription_cancel_at_idx",
        "subscription",
        ["cancel_at"],
        unique=False,
        postgresql_where=sa.text("cancel_at IS NOT NULL"),
    )
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
