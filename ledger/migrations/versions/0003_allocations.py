"""What would keep everybody waiting is done beside them: an index on entries, and a look at every account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHECKS = ("account_running_check", "account_settled_check", "account_closed_runs_nothing_check")


def upgrade() -> None:
    for name in CHECKS:
        op.execute(f"ALTER TABLE account VALIDATE CONSTRAINT {name}")
    with op.get_context().autocommit_block():
        # One that was begun and broken off is there, and is of no use.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS entry_allocation_idx")
        op.create_index(
            "entry_allocation_idx",
            "entry",
            ["account", "version"],
            unique=False,
            postgresql_where=sa.text("account > 0 AND type IN ('allocation', 'reclaim', 'credit_return')"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("entry_allocation_idx", table_name="entry")
