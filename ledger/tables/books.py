"""The books: accounts, transactions, entries, what was given back, keys of commands, messages, the outbox."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)

from ledger.tables.base import Moment, metadata

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
    Column(
        "running",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="pending orders, live subscriptions",
    ),
    Column(
        "settled",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="open holds, resources and sessions, its own or on its coins",
    ),
    Column("notifications", Boolean, nullable=False, server_default="true", comment="mails about warnings"),
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
    CheckConstraint("running >= 0", name="running"),
    CheckConstraint("settled >= 0", name="settled"),
    CheckConstraint("credit_limit >= 0", name="credit_limit"),
    CheckConstraint("funding IN ('own', 'shared', 'sponsored')", name="funding"),
    CheckConstraint("state IN ('active', 'suspended', 'closed')", name="state"),
    CheckConstraint("funding <> 'shared' OR (credit = 0 AND frozen = 0)", name="shared_has_no_coins"),
    CheckConstraint("funding = 'own' OR credit_limit = 0", name="only_own_has_a_limit"),
    CheckConstraint("state <> 'closed' OR (credit = 0 AND frozen = 0)", name="closed_is_empty"),
    CheckConstraint("state <> 'closed' OR (running = 0 AND settled = 0)", name="closed_runs_nothing"),
    Index("account_path_idx", "path", postgresql_using="gin"),
    Index("account_drawing_idx", "draws_from", postgresql_where=text("draws_from <> id")),
    Index("account_sponsor_idx", "sponsor", postgresql_where=text("sponsor IS NOT NULL")),
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
    Index(
        "entry_allocation_idx",
        "account",
        "version",
        postgresql_where=text("account > 0 AND type IN ('allocation', 'reclaim', 'credit_return')"),
    ),
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
