"""The ledger: accounts, transactions and entries, command keys, outbox, dead letters, fences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

COMMAND_PARTITIONS = 8
APPEND_ONLY = ("transaction", "entry", "command")
PLATFORM = """
INSERT INTO account (id, account, path, kind, name, funding, state, credit, credit_limit, frozen, version, draws_from, timezone)
VALUES (0, 'platform', '{}', 'platform', 'the platform', 'own', 'active', 0, 0, 0, 0, 0, 'UTC')"""
REFUSE_CHANGES = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: what was posted is corrected by posting again, never by changing it', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$"""


def upgrade() -> None:
    for sequence in ("account_key", "transaction_key", "batch_key"):
        op.execute(sa.schema.CreateSequence(sa.Sequence(sequence, data_type=sa.BigInteger)))
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False, comment="the public id"),
        sa.Column("parent", sa.BigInteger(), nullable=True, comment="null for the platform only"),
        sa.Column(
            "path", sa.ARRAY(sa.BigInteger()), nullable=False, comment="from the top account down to this one"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("funding", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("credit", sa.BigInteger(), nullable=False),
        sa.Column("credit_limit", sa.BigInteger(), nullable=False),
        sa.Column("frozen", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.BigInteger(), nullable=True, comment="available after the latest inflow"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="how many entries there are"),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True, comment="time of the latest entry"),
        sa.Column(
            "draws_from", sa.BigInteger(), nullable=False, comment="whose coins: its own id, or its master's"
        ),
        sa.Column(
            "sponsor", sa.BigInteger(), nullable=True, comment="who pays with it, where it is sponsored"
        ),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("boss_email", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("legal_name", sa.Text(), nullable=True),
        sa.Column("tax_id", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "funding <> 'shared' OR (credit = 0 AND frozen = 0)",
            name=op.f("account_shared_has_no_coins_check"),
        ),
        sa.CheckConstraint(
            "funding = 'own' OR credit_limit = 0", name=op.f("account_only_own_has_a_limit_check")
        ),
        sa.CheckConstraint("funding IN ('own', 'shared', 'sponsored')", name=op.f("account_funding_check")),
        sa.CheckConstraint(
            "state <> 'closed' OR (credit = 0 AND frozen = 0)", name=op.f("account_closed_is_empty_check")
        ),
        sa.CheckConstraint("state IN ('active', 'suspended', 'closed')", name=op.f("account_state_check")),
        sa.CheckConstraint("credit_limit >= 0", name=op.f("account_credit_limit_check")),
        sa.CheckConstraint("frozen >= 0", name=op.f("account_frozen_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("account_pkey")),
        sa.UniqueConstraint("account", name=op.f("account_account_key")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(op.f("account_parent_idx"), "account", ["parent"], unique=False)
    op.create_index("account_path_idx", "account", ["path"], unique=False, postgresql_using="gin")
    op.create_table(
        "batch",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column(
            "deliveries",
            sa.Text(),
            nullable=False,
            comment="JSON: stream, position, producer, length of each message",
        ),
        sa.Column(
            "bodies", sa.LargeBinary(), nullable=False, comment="the messages as they came in, end to end"
        ),
        sa.PrimaryKeyConstraint("id", "received_at", name=op.f("batch_pkey")),
        postgresql_partition_by="RANGE (received_at)",
    )
    op.create_table(
        "command",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="null: applied"),
        sa.Column("transaction", sa.BigInteger(), nullable=True),
        sa.Column(
            "outcome", sa.Text(), nullable=False, comment="the lasting part of the outcome's data, JSON"
        ),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("delivery", sa.Integer(), nullable=False, comment="which message of the batch"),
        sa.Column("place", sa.SmallInteger(), nullable=False, comment="which event of the message"),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("command_pkey")),
        postgresql_partition_by="HASH (source, id)",
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="equal letters are counted, not stored again"
        ),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("command_id", sa.Text(), nullable=True),
        sa.Column("producer", sa.Text(), nullable=True),
        sa.Column("stream", sa.Text(), nullable=True),
        sa.Column("position", sa.Text(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'replaying', 'resolved', 'failed again', 'archived')",
            name=op.f("dead_letter_state_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letter_pkey")),
        sa.UniqueConstraint("digest", name=op.f("dead_letter_digest_key")),
    )
    op.create_index(op.f("dead_letter_group_id_idx"), "dead_letter", ["group_id"], unique=False)
    op.create_index(
        "dead_letter_waiting_idx",
        "dead_letter",
        ["source", "command_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'failed again') AND command_id IS NOT NULL"),
    )
    op.create_table(
        "dead_letter_group",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="unreadable, invalid, crashed"),
        sa.Column("type", sa.Text(), nullable=True, comment="of the command, where it can be read"),
        sa.Column("exception", sa.Text(), nullable=True),
        sa.Column("frame", sa.Text(), nullable=True, comment="the innermost of ours"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letter_group_pkey")),
        sa.UniqueConstraint("digest", name=op.f("dead_letter_group_digest_key")),
    )
    op.create_table(
        "device",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=True, comment="null: released"),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("onboarded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paid_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("device", name=op.f("device_pkey")),
    )
    op.create_index(
        "device_account_idx",
        "device",
        ["account"],
        unique=False,
        postgresql_where=sa.text("account IS NOT NULL"),
    )
    op.create_table(
        "entry",
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False, comment="below 0: a system account"),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column(
            "balance", sa.BigInteger(), nullable=True, comment="credit after; null for system accounts"
        ),
        sa.Column(
            "version", sa.BigInteger(), nullable=True, comment="the account's; null for system accounts"
        ),
        sa.Column("top", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counterparty", sa.BigInteger(), nullable=True),
        sa.Column(
            "consumer",
            sa.BigInteger(),
            nullable=True,
            comment="who used it, where that is not the account itself",
        ),
        sa.CheckConstraint("(account > 0) = (version IS NOT NULL)", name=op.f("entry_version_check")),
        sa.CheckConstraint("amount <> 0", name=op.f("entry_amount_check")),
    )
    op.create_index(
        "entry_account_version_key",
        "entry",
        ["account", "version"],
        unique=True,
        postgresql_where=sa.text("account > 0"),
    )
    op.create_index(
        "entry_consumer_transaction_idx",
        "entry",
        ["consumer", "transaction"],
        unique=False,
        postgresql_where=sa.text("consumer IS NOT NULL AND counterparty IS DISTINCT FROM consumer"),
    )
    op.create_index("entry_transaction_idx", "entry", ["transaction"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default="-infinity", nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("lease_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "events", sa.LargeBinary(), nullable=False, comment="a line an event: routing key, type, event"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_table(
        "partition",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default="-infinity", nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("crashed_in_a_row", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "stopped_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="too many crashes: waits for a worker started later",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("partition_pkey")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "plan",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("rate", sa.Text(), nullable=True, comment="coins a minute, decimal"),
        sa.Column("cycle_unit", sa.Text(), nullable=True),
        sa.Column("cycle_count", sa.Integer(), nullable=True),
        sa.Column("coefficient", sa.Text(), nullable=True, comment="decimal"),
        sa.PrimaryKeyConstraint("plan", name=op.f("plan_pkey")),
    )
    op.create_table(
        "position",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("position_pkey")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "process",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=True, comment="of a worker: how many it knows of"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "state", sa.Text(), server_default="ready", nullable=False, comment="ready, or what it waits for"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("process_pkey")),
    )
    op.create_table(
        "recharge_reference",
        sa.Column("top", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=True, comment="null: taken back, free again"),
        sa.PrimaryKeyConstraint("reference", "method", "top", name=op.f("recharge_reference_pkey")),
    )
    op.create_table(
        "returned",
        sa.Column("transaction", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("returned_amount_check")),
        sa.PrimaryKeyConstraint("transaction", name=op.f("returned_pkey")),
    )
    op.create_table(
        "transaction",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("top", sa.BigInteger(), nullable=False, comment="the top account, to shard by"),
        sa.Column(
            "account", sa.BigInteger(), nullable=False, comment="whom it is for; who pays is in the entries"
        ),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("devices", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("payer", sa.Text(), nullable=True),
        sa.Column("paid_currency", sa.Text(), nullable=True),
        sa.Column("paid_amount", sa.Text(), nullable=True),
        sa.Column("ordered_by", sa.Text(), nullable=True),
        sa.Column("reverses", sa.BigInteger(), nullable=True),
        sa.Column("command_source", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("transaction_pkey")),
    )
    for remainder in range(COMMAND_PARTITIONS):
        op.execute(
            f"CREATE TABLE command_{remainder} PARTITION OF command "
            f"FOR VALUES WITH (MODULUS {COMMAND_PARTITIONS}, REMAINDER {remainder})"
        )
    op.execute("CREATE TABLE batch_default PARTITION OF batch DEFAULT")
    # Written once and read once, or next to never: compressing them would cost more than storing them.
    op.execute("ALTER TABLE outbox ALTER COLUMN events SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE batch ALTER COLUMN bodies SET STORAGE EXTERNAL")
    op.execute(PLATFORM)
    op.execute(REFUSE_CHANGES)
    # A trigger of a statement is not inherited: somebody who names a partition must meet one, too.
    for table in (*APPEND_ONLY, *(f"command_{remainder}" for remainder in range(COMMAND_PARTITIONS))):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.drop_table("transaction")
    op.drop_table("returned")
    op.drop_table("recharge_reference")
    op.drop_table("process")
    op.drop_table("position")
    op.drop_table("plan")
    op.drop_table("partition")
    op.drop_table("outbox")
    op.drop_table("lease")
    op.drop_index("entry_transaction_idx", table_name="entry")
    op.drop_index(
        "entry_consumer_transaction_idx",
        table_name="entry",
        postgresql_where=sa.text("consumer IS NOT NULL AND counterparty IS DISTINCT FROM consumer"),
    )
    op.drop_index("entry_account_version_key", table_name="entry", postgresql_where=sa.text("account > 0"))
    op.drop_table("entry")
    op.drop_index("device_account_idx", table_name="device", postgresql_where=sa.text("account IS NOT NULL"))
    op.drop_table("device")
    op.drop_table("dead_letter_group")
    op.drop_index(
        "dead_letter_waiting_idx",
        table_name="dead_letter",
        postgresql_where=sa.text("state IN ('waiting', 'failed again') AND command_id IS NOT NULL"),
    )
    op.drop_index(op.f("dead_letter_group_id_idx"), table_name="dead_letter")
    op.drop_table("dead_letter")
    op.drop_table("command")
    op.drop_table("batch")
    op.drop_index("account_path_idx", table_name="account", postgresql_using="gin")
    op.drop_index(op.f("account_parent_idx"), table_name="account")
    op.drop_table("account")
    op.execute("DROP FUNCTION refuse_change()")
    for sequence in ("account_key", "transaction_key", "batch_key"):
        op.execute(f"DROP SEQUENCE {sequence}")
