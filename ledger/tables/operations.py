"""What runs the ledger: partitions, positions on the edge, processes, leases, dead letters and what is done about them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
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
    Column("producer", Text, comment="of what came by somebody's own stream, and is no command"),
    Column("count", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),
    Column("not_kept", BigInteger, nullable=False, server_default="0", comment="beyond the room of a group"),
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
    Column("account", Text, comment="the first that its event names"),
    Column("producer", Text),
    Column("stream", Text),
    Column("position", Text),
    Column("place", Integer, nullable=False),
    Column("headers", JSONB, nullable=False, server_default="{}"),
    Column("raw", LargeBinary, nullable=False),
    Column(
        "whole", Boolean, nullable=False, server_default="true", comment="a message; else one event of it"
    ),
    Column("verified", Boolean, nullable=False, server_default="false", comment="it is its producer's"),
    Column(
        "arrival", BigInteger, comment="batch and slot: orders what came in; null: of before it was counted"
    ),
    Column("why", Text, nullable=False),
    Column("traceback", Text),
    Column("count", BigInteger, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    Column("claimed_until", Moment, comment="somebody sends it anew by hand"),
    Column("run", BigInteger, comment="of the job that is run again because of it"),
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
    Index("dead_letter_run_idx", "run", postgresql_where=text("run IS NOT NULL")),
    Index("dead_letter_open_idx", "group_id", postgresql_where=text("state IN ('waiting', 'failed again')")),
)

dead_letter_act = Table(
    "dead_letter_act",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("letter", BigInteger, nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Column("act", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text),
    Column("result", Text, nullable=False, comment="in a sentence"),
    Column("replay", BigInteger, comment="the replay that it is a part of"),
    CheckConstraint("act IN ('replay', 'edit', 'archive', 'restore')", name="act"),
)

dead_replay = Table(
    "dead_replay",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("who", Text, nullable=False),
    Column("why", Text),
    Column("chosen", JSONB, nullable=False, comment="which letters: a filter, or their numbers"),
    Column("rate", Float, comment="letters a second; null: as fast as it goes"),
    Column("even_if_newer", Boolean, nullable=False),
    Column(
        "up_to", BigInteger, nullable=False, comment="the last letter that was there when it was asked for"
    ),
    Column("total", BigInteger, nullable=False, comment="how many letters at most"),
    Column("place", BigInteger, nullable=False, server_default="0", comment="the last letter that is done"),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("counts", JSONB, nullable=False, server_default="{}", comment="how many by what became of them"),
    Column(
        "watched", Boolean, nullable=False, server_default="true", comment="stops if the first all fail alike"
    ),
    Column("result", Text, comment="in a sentence"),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'stopped', 'canceled')", name="state"),
    Index("dead_replay_open_idx", "id", postgresql_where=text("state IN ('waiting', 'running')")),
)

last_set = Table(
    "last_set",
    metadata,
    Column("kind", Text, nullable=False, comment="what was set"),
    Column("subject", Text, nullable=False, comment="of what"),
    Column("at", Moment, nullable=False),
    Column("arrival", BigInteger, nullable=False, comment="of what set it, as of a dead letter"),
    PrimaryKeyConstraint("kind", "subject"),
    postgresql_with={"fillfactor": 70},
)
