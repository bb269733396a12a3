"""What scheduled work remembers: runs of jobs, attempts at renewals, what has fired, receipts, mails."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What the billing cycle has to look at, of subscriptions that are older than it.
NEXT_TRY = """
UPDATE subscription SET next_try_at = CASE
  WHEN cancel_at IS NOT NULL THEN cancel_at
  WHEN status = 'scheduled' THEN start_at
  ELSE next_payment_at END
WHERE status <> 'canceled'"""
EXPORT_STATES = "state IN ('requested', 'running', 'ready', 'failed', 'removed')"


def upgrade() -> None:
    op.create_table(
        "at_risk",
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="when it was told"),
        sa.Column(
            "date",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="of the first renewal that is not covered",
        ),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("at_risk_pkey")),
    )
    op.create_table(
        "job_item",
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("outcome IN ('done', 'refused', 'failed')", name=op.f("job_item_outcome_check")),
        sa.PrimaryKeyConstraint("run", "item", name=op.f("job_item_pkey")),
    )
    op.create_table(
        "job_mark",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False, comment="an account; 0 for the job as a whole"),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False, comment="what lies before is done"),
        sa.Column(
            "place",
            sa.Text(),
            nullable=True,
            comment="of what lies just there, the last that is done; null: all of it",
        ),
        sa.PrimaryKeyConstraint("job", "subject", name=op.f("job_mark_pkey")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "job_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="the clock that the job goes by"),
        sa.Column("asked_by", sa.Text(), nullable=False, comment="scheduler, or a person"),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False, comment="of whoever runs it"),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default="-infinity", nullable=False),
        sa.Column(
            "not_before",
            sa.DateTime(timezone=True),
            server_default="-infinity",
            nullable=False,
            comment="after a failure",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "rung_at", sa.DateTime(timezone=True), nullable=True, comment="when a worker was last knocked at"
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refused", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "total", sa.BigInteger(), nullable=True, comment="of what is to be done, where it is known"
        ),
        sa.Column("result", sa.Text(), nullable=True, comment="in a sentence"),
        sa.Column("error", sa.Text(), nullable=True, comment="a traceback"),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed')", name=op.f("job_run_state_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("job_run_pkey")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("job_run_created_idx", "job_run", ["created_at"], unique=False)
    op.create_index("job_run_job_idx", "job_run", ["job", "at"], unique=False)
    op.create_index(
        "job_run_open_idx",
        "job_run",
        ["job", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'running')"),
    )
    op.create_index(
        "job_run_scheduled_key",
        "job_run",
        ["job", "at"],
        unique=True,
        postgresql_where=sa.text("asked_by = 'scheduler'"),
    )
    op.create_table(
        "mail",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False, comment="the same for the same mail, for ever"),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True, comment="the number of the receipt that goes with it"),
        sa.Column("account", sa.BigInteger(), nullable=False, comment="what it is about"),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True, comment="what the server said last"),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'given up')", name=op.f("mail_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("mail_pkey")),
        sa.UniqueConstraint("message_id", name=op.f("mail_message_id_key")),
    )
    op.create_index("mail_created_idx", "mail", ["created_at"], unique=False)
    op.create_index(
        "mail_waiting_idx",
        "mail",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "receipt",
        sa.Column("number", sa.Text(), nullable=False, comment="<top account>-<year>-<six digits>"),
        sa.Column("top", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="without gaps"),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON: all that is printed, as it was then"),
        sa.Column("emails", sa.ARRAY(sa.Text()), nullable=False, comment="to whom it was mailed"),
        sa.CheckConstraint("kind IN ('recharge', 'order')", name=op.f("receipt_kind_check")),
        sa.CheckConstraint("seq >= 1", name=op.f("receipt_seq_check")),
        sa.PrimaryKeyConstraint("number", name=op.f("receipt_pkey")),
        sa.UniqueConstraint("top", "year", "seq", name=op.f("receipt_top_year_seq_key")),
        sa.UniqueConstraint("transaction", name=op.f("receipt_transaction_key")),
    )
    op.create_index("receipt_account_idx", "receipt", ["account", "issued_at"], unique=False)
    op.create_index("receipt_issued_idx", "receipt", ["issued_at", "number"], unique=False)
    op.create_index(
        "receipt_order_idx",
        "receipt",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_table(
        "receipt_due",
        sa.Column("transaction", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True, comment="null: of a recharge"),
        sa.PrimaryKeyConstraint("transaction", name=op.f("receipt_due_pkey")),
    )
    op.create_table(
        "receipt_series",
        sa.Column("top", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("top", "year", name=op.f("receipt_series_pkey")),
    )
    op.create_table(
        "renewal_attempt",
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("cycle_no", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False, comment="by the job's clock"),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False, comment="last"),
        sa.Column("published", sa.Integer(), server_default="0", nullable=False, comment="how often"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="why it was refused; null: paid, or not decided"
        ),
        sa.Column("message", sa.Text(), nullable=True, comment="the same for a person"),
        sa.PrimaryKeyConstraint("subscription", "cycle_no", "attempt", name=op.f("renewal_attempt_pkey")),
    )
    op.create_index(
        "renewal_attempt_open_idx",
        "renewal_attempt",
        ["subscription"],
        unique=False,
        postgresql_where=sa.text("decided_at IS NULL"),
    )
    op.create_index("renewal_attempt_run_idx", "renewal_attempt", ["run"], unique=False)
    op.create_table(
        "touched",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "accounts", sa.ARRAY(sa.BigInteger()), nullable=False, comment="whose figures or state changed"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("touched_pkey")),
    )
    op.create_table(
        "warned",
        sa.Column("account", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.Text(), nullable=False, comment="25 %, 10 %, 0; custom:<warning>"),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.BigInteger(), nullable=False),
        sa.Column(
            "set_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="of the custom warning as it was; one set anew has not fired",
        ),
        sa.PrimaryKeyConstraint("account", "threshold", name=op.f("warned_pkey")),
    )
    op.add_column("export", sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("export", sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("export", sa.Column("path", sa.Text(), nullable=True, comment="below FILES_DIR"))
    op.add_column("export", sa.Column("rows", sa.BigInteger(), nullable=True))
    op.add_column("export", sa.Column("bytes", sa.BigInteger(), nullable=True))
    op.add_column("export", sa.Column("sha256", sa.Text(), nullable=True))
    op.add_column("export", sa.Column("why", sa.Text(), nullable=True, comment="why it failed"))
    op.add_column(
        "subscription",
        sa.Column(
            "next_try_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the billing cycle looks at it next; null: never",
        ),
    )
    op.add_column(
        "subscription",
        sa.Column(
            "past_due_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when its next cycle is owed",
        ),
    )
    op.add_column(
        "subscription",
        sa.Column("refused_for", sa.Text(), nullable=True, comment="why it could not be charged last"),
    )
    op.create_check_constraint(op.f("export_state_check"), "export", EXPORT_STATES)
    op.drop_index("export_requested_idx", table_name="export")
    op.create_index(
        "export_requested_idx",
        "export",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('requested', 'running')"),
    )
    op.execute(NEXT_TRY)
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON receipt "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_index("export_requested_idx", table_name="export")
    op.create_index(
        "export_requested_idx",
        "export",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("state = 'requested'"),
    )
    op.drop_constraint(op.f("export_state_check"), "export", type_="check")
    op.drop_column("subscription", "refused_for")
    op.drop_column("subscription", "past_due_since")
    op.drop_column("subscription", "next_try_at")
    op.drop_column("export", "why")
    op.drop_column("export", "sha256")
    op.drop_column("export", "bytes")
    op.drop_column("export", "rows")
    op.drop_column("export", "path")
    op.drop_column("export", "ready_at")
    op.drop_column("export", "started_at")
    op.drop_table("warned")
    op.drop_table("touched")
    op.drop_index("renewal_attempt_run_idx", table_name="renewal_attempt")
    op.drop_index(
        "renewal_attempt_open_idx",
        table_name="renewal_attempt",
        postgresql_where=sa.text("decided_at IS NULL"),
    )
    op.drop_table("renewal_attempt")
    op.drop_table("receipt_series")
    op.drop_table("receipt_due")
    op.drop_index("receipt_order_idx", table_name="receipt", postgresql_where=sa.text("order_id IS NOT NULL"))
    op.drop_index("receipt_issued_idx", table_name="receipt")
    op.drop_index("receipt_account_idx", table_name="receipt")
    op.drop_table("receipt")
    op.drop_index("mail_waiting_idx", table_name="mail", postgresql_where=sa.text("state = 'waiting'"))
    op.drop_index("mail_created_idx", table_name="mail")
    op.drop_table("mail")
    op.drop_index(
        "job_run_scheduled_key", table_name="job_run", postgresql_where=sa.text("asked_by = 'scheduler'")
    )
    op.drop_index(
        "job_run_open_idx", table_name="job_run", postgresql_where=sa.text("state IN ('waiting', 'running')")
    )
    op.drop_index("job_run_job_idx", table_name="job_run")
    op.drop_index("job_run_created_idx", table_name="job_run")
    op.drop_table("job_run")
    op.drop_table("job_mark")
    op.drop_table("job_item")
    op.drop_table("at_risk")
