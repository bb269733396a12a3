"""What runs the ledger: partitions and positions on the edge, processes, leases, dead letters."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.tables.base import Moment, metadata

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
