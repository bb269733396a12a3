"""What is done about dead letters: replays with their progress, acts, and when what commands set was set last."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NEW_COLUMNS: tuple[sa.Column[Any], ...] = (
    sa.Column("account", sa.Text(), comment="the first that its event names", nullable=True),
    sa.Column(
        "claimed_until",
        sa.DateTime(timezone=True),
        comment="somebody sends it anew by hand",
        nullable=True,
    ),
    sa.Column("run", sa.BigInteger(), comment="of the job that is run again because of it", nullable=True),
    sa.Column(
        "whole",
        sa.Boolean(),
        server_default="true",
        comment="a message; else one event of it",
        nullable=False,
    ),
    sa.Column(
        "verified", sa.Boolean(), server_default="false", comment="it is its producer's", nullable=False
    ),
    sa.Column(
        "arrival",
        sa.BigInteger(),
        comment="batch and slot: orders what came in; null: of before it was counted",
        nullable=True,
    ),
)


def upgrade() -> None:
    for column in NEW_COLUMNS:
        op.add_column("dead_letter", column)
    op.add_column(
        "dead_letter_group",
        sa.Column(
            "producer",
            sa.Text(),
            comment="of what came by somebody's own stream, and is no command",
            nullable=True,
        ),
    )
    op.add_column(
        "dead_letter_group",
        sa.Column(
            "not_kept",
            sa.BigInteger(),
            server_default="0",
            comment="beyond the room of a group",
            nullable=False,
        ),
    )
    _create_acts()
    _create_replays()
    op.create_table(
        "last_set",
        sa.Column("kind", sa.Text(), nullable=False, comment="what was set"),
        sa.Column("subject", sa.Text(), nullable=False, comment="of what"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("arrival", sa.BigInteger(), nullable=False, comment="of what set it, as of a dead letter"),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("last_set_pkey")),
        postgresql_with={"fillfactor": 70},
    )


def _create_acts() -> None:
    op.create_table(
        "dead_letter_act",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("letter", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False, comment="in a sentence"),
        sa.Column("replay", sa.BigInteger(), nullable=True, comment="the replay that it is a part of"),
        sa.CheckConstraint(
            "act IN ('replay', 'edit', 'archive', 'restore')", name=op.f("dead_letter_act_act_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letter_act_pkey")),
    )
    op.create_index(op.f("dead_letter_act_letter_idx"), "dead_letter_act", ["letter"])


def _create_replays() -> None:
    op.create_table(
        "dead_replay",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column(
            "chosen", postgresql.JSONB(), nullable=False, comment="which letters: a filter, or their numbers"
        ),
        sa.Column("rate", sa.Float(), nullable=True, comment="letters a second; null: as fast as it goes"),
        sa.Column("even_if_newer", sa.Boolean(), nullable=False),
        sa.Column(
            "up_to",
            sa.BigInteger(),
            nullable=False,
            comment="the last letter that was there when it was asked for",
        ),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="how many letters at most"),
        sa.Column(
            "place",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="the last letter that is done",
        ),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "counts",
            postgresql.JSONB(),
            server_default="{}",
            nullable=False,
            comment="how many by what became of them",
        ),
        sa.Column(
            "watched",
            sa.Boolean(),
            server_default="true",
            nullable=False,
            comment="stops if the first all fail alike",
        ),
        sa.Column("result", sa.Text(), nullable=True, comment="in a sentence"),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'stopped', 'canceled')",
            name=op.f("dead_replay_state_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_replay_pkey")),
    )
    op.create_index(
        "dead_replay_open_idx",
        "dead_replay",
        ["id"],
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )


def downgrade() -> None:
    op.drop_table("last_set")
    op.drop_table("dead_replay")
    op.drop_table("dead_letter_act")
    op.drop_column("dead_letter_group", "not_kept")
    op.drop_column("dead_letter_group", "producer")
    for column in reversed(NEW_COLUMNS):
        op.drop_column("dead_letter", column.name)
