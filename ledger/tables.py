"""The tables, as SQLAlchemy metadata: what migrations are compared with, and the one place that says what a column is for.

The path of a command (`snapshot.py`, `store.py`) and the reading side (`queries/`) use SQL of their own, by psycopg: the
first for speed, the second because a look at a balance should not wait for the import of SQLAlchemy.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

NAMING = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}
metadata = MetaData(naming_convention=NAMING)
Moment = DateTime(timezone=True)

account_key = Sequence("account_key", metadata=metadata, data_type=BigInteger)
transaction_key = Sequence("transaction_key", metadata=metadata, data_type=BigInteger)
batch_key = Sequence("batch_key", metadata=metadata, data_type=BigInteger)

account = Table(
    "account",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False, unique=True, comment="the public id"),
    Column("parent", BigInteger, index=True, comment="null for the platform only"),
    Column("path", ARRAY(BigInteger), nullable=False, comment="from the top account down to this one"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("funding", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("credit", BigInteger, nullable=False),
    Column("credit_limit", BigInteger, nullable=False),
    Column("frozen", BigInteger, nullable=False),
    Column("reference", BigInteger, comment="available after the latest inflow"),
    Column("version", BigInteger, nullable=False, comment="how many entries there are"),
    Column("posted_at", Moment, comment="time of the latest entry"),
    Column("draws_from", BigInteger, nullable=False, comment="whose coins: its own id, or its master's"),
    Column("sponsor", BigInteger, comment="who pays with it, where it is sponsored"),
    Column("email", Text),
    Column("boss_email", Text),
    Column("country", Text),
    Column("timezone", Text, nullable=False),
    Column("legal_name", Text),
    Column("tax_id", Text),
    Column("address", Text),
    Column("opened_at", Moment, nullable=False, server_default=func.now()),
    CheckConstraint("frozen >= 0", name="frozen"),
    CheckConstraint("credit_limit >= 0", name="credit_limit"),
    CheckConstraint("funding IN ('own', 'shared', 'sponsored')", name="funding"),
    CheckConstraint("state IN ('active', 'suspended', 'closed')", name="state"),
    CheckConstraint("funding <> 'shared' OR (credit = 0 AND frozen = 0)", name="shared_has_no_coins"),
    CheckConstraint("funding = 'own' OR credit_limit = 0", name="only_own_has_a_limit"),
    CheckConstraint("state <> 'closed' OR (credit = 0 AND frozen = 0)", name="closed_is_empty"),
    Index("account_path_idx", "path", postgresql_using="gin"),
    postgresql_with={"fillfactor": 70},
)

transaction = Table(
    "transaction",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Moment, nullable=False),
    Column("type", Text, nullable=False),
    Column("top", BigInteger, nullable=False, comment="the top account, to shard by"),
    Column("account", BigInteger, nullable=False, comment="whom it is for; who pays is in the entries"),
    Column("item", Text),
    Column("devices", ARRAY(Text)),
    Column("note", Text),
    Column("order_id", Text),
    Column("method", Text),
    Column("reference", Text),
    Column("payer", Text),
    Column("paid_currency", Text),
    Column("paid_amount", Text),
    Column("ordered_by", Text),
    Column("reverses", BigInteger),
    Column("command_source", Text, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("actor", Text),
)

entry = Table(
    "entry",
    metadata,
    Column("transaction", BigInteger, nullable=False),
    Column("account", BigInteger, nullable=False, comment="below 0: a system account"),
    Column("unit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance", BigInteger, comment="credit after; null for system accounts"),
    Column("version", BigInteger, comment="the account's; null for system accounts"),
    Column("top", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("time", Moment, nullable=False),
    Column("counterparty", BigInteger),
    Column("consumer", BigInteger, comment="who used it, where that is not the account itself"),
    CheckConstraint("amount <> 0", name="amount"),
    CheckConstraint("(account > 0) = (version IS NOT NULL)", name="version"),
    Index(
        "entry_account_version_key", "account", "version", unique=True, postgresql_where=text("account > 0")
    ),
    Index(
        "entry_consumer_transaction_idx",
        "consumer",
        "transaction",
        # Not a sponsor's entries: they are found by the sponsor, and its customer has an entry of its own.
        postgresql_where=text("consumer IS NOT NULL AND counterparty IS DISTINCT FROM consumer"),
    ),
    Index("entry_transaction_idx", "transaction"),
)

command = Table(
    "command",
    metadata,
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("reason", Text, comment="null: applied"),
    Column("transaction", BigInteger),
    Column("outcome", Text, nullable=False, comment="the lasting part of the outcome's data, JSON"),
    Column("batch", BigInteger, nullable=False),
    Column("delivery", Integer, nullable=False, comment="which message of the batch"),
    Column("place", SmallInteger, nullable=False, comment="which event of the message"),
    PrimaryKeyConstraint("source", "id"),
    postgresql_partition_by="HASH (source, id)",
)

batch = Table(
    "batch",
    metadata,
    Column("id", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("partition", Integer, nullable=False),
    Column(
        "deliveries", Text, nullable=False, comment="JSON: stream, position, producer, length of each message"
    ),
    Column("bodies", LargeBinary, nullable=False, comment="the messages as they came in, end to end"),
    PrimaryKeyConstraint("id", "received_at"),
    postgresql_partition_by="RANGE (received_at)",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("events", LargeBinary, nullable=False, comment="a line an event: routing key, type, event"),
)

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
)

recharge_reference = Table(
    "recharge_reference",
    metadata,
    Column("top", BigInteger, nullable=False),
    Column("method", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("transaction", BigInteger, comment="null: taken back, free again"),
    PrimaryKeyConstraint("reference", "method", "top"),
)

returned = Table(
    "returned",
    metadata,
    Column("transaction", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("amount > 0", name="amount"),
)

partition = Table(
    "partition",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Moment, nullable=False, server_default="-infinity"),
    Column("owner", Text),
    Column("crashed_in_a_row", Integer, nullable=False, server_default="0"),
    Column("stopped_at", Moment, comment="too many crashes: waits for a worker started later"),
    postgresql_with={"fillfactor": 50},
)

position = Table(
    "position",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("position", Text, nullable=False),
    postgresql_with={"fillfactor": 50},
)

process = Table(
    "process",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("partitions", Integer, comment="of a worker: how many it knows of"),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("state", Text, nullable=False, server_default="ready", comment="ready, or what it waits for"),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Moment, nullable=False, server_default="-infinity"),
    Column("owner", Text),
)

dead_letter_group = Table(
    "dead_letter_group",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("reason", Text, nullable=False, comment="unreadable, invalid, crashed"),
    Column("type", Text, comment="of the command, where it can be read"),
    Column("exception", Text),
    Column("frame", Text, comment="the innermost of ours"),
    Column("count", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("group_id", BigInteger, nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, comment="equal letters are counted, not stored again"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("source", Text),
    Column("command_id", Text),
    Column("producer", Text),
    Column("stream", Text),
    Column("position", Text),
    Column("place", Integer, nullable=False),
    Column("headers", JSONB, nullable=False, server_default="{}"),
    Column("raw", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("traceback", Text),
    Column("count", BigInteger, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    UniqueConstraint("digest"),
    CheckConstraint(
        "state IN ('waiting', 'replaying', 'resolved', 'failed again', 'archived')", name="state"
    ),
    Index(
        "dead_letter_waiting_idx",
        "source",
        "command_id",
        postgresql_where=text("state IN ('waiting', 'failed again') AND command_id IS NOT NULL"),
    ),
)

COMMAND_PARTITIONS = 8
APPEND_ONLY = ("transaction", "entry", "command")
