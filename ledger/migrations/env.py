"""What Alembic runs: always on a connection that `ledger.migrate` has opened and locked."""

from __future__ import annotations

from alembic import context

from ledger.tables import metadata

# Each revision is committed by itself: one may have to leave its transaction, to build an index beside the traffic.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
