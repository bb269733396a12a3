"""What scheduled work remembers: runs of jobs, attempts at renewals, what has fired, receipts, mails."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from ledger.tables.base import Moment, metadata

job_run = Table(
    "job_run",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", Text, nullable=False),
    Column("at", Moment, nullable=False, comment="the clock that the job goes by"),
    Column("asked_by", Text, nullable=False, comment="scheduler, or a person"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("epoch", BigInteger, nullable=False, server_default="0", comment="of whoever runs it"),
    Column("owner", Text),
    Column("lease_until", Moment, nullable=False, server_default="-infinity"),
    Column("not_before", Moment, nullable=False, server_default="-infinity", comment="after a failure"),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    Column("rung_at", Moment, comment="when a worker was last knocked at"),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, comment="of what is to be done, where it is known"),
    Column("result", Text, comment="in a sentence"),
    Column("error", Text, comment="a traceback"),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
    Index("job_run_job_idx", "job", "at"),
    Index("job_run_open_idx", "job", "id", postgresql_where=text("state IN ('waiting', 'running')")),
    Index(
        "job_run_scheduled_key",
        "job",
        "at",
        unique=True,
        postgresql_where=text("asked_by = 'scheduler'"),
    ),
    Index("job_run_created_idx", "created_at"),
    postgresql_with={"fillfactor": 70},
)

job_item = Table(
    "job_item",
    metadata,
    Column("run", BigInteger, nullable=False),
    Column("item", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("at", Moment, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("run", "item"),
    CheckConstraint("outcome IN ('done', 'refused', 'failed')", name="outcome"),
)

job_mark = Table(
    "job_mark",
    metadata,
    Column("job", Text, nullable=False),
    Column("subject", BigInteger, nullable=False, comment="an account; 0 for the job as a whole"),
    Column("until", Moment, nullable=False, comment="what lies before is done"),
    Column("place", Text, comment="of what lies just there, the last that is done; null: all of it"),
    PrimaryKeyConstraint("job", "subject"),
    postgresql_with={"fillfactor": 70},
)

renewal_attempt = Table(
    "renewal_attempt",
    metadata,
    Column("subscription", Text, nullable=False),
    Column("cycle_no", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("account", BigInteger, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("tried_at", Moment, nullable=False, comment="by the job's clock"),
    Column("published_at", Moment, nullable=False, comment="last"),
    Column("published", Integer, nullable=False, server_default="0", comment="how often"),
    Column("decided_at", Moment),
    Column("reason", Text, comment="why it was refused; null: paid, or not decided"),
    Column("message", Text, comment="the same for a person"),
    PrimaryKeyConstraint("subscription", "cycle_no", "attempt"),
    Index("renewal_attempt_open_idx", "subscription", postgresql_where=text("decided_at IS NULL")),
    Index("renewal_attempt_run_idx", "run"),
)

touched = Table(
    "touched",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("accounts", ARRAY(BigInteger), nullable=False, comment="whose figures or state changed"),
)

warned = Table(
    "warned",
    metadata,
    Column("account", BigInteger, nullable=False),
    Column("threshold", Text, nullable=False, comment="25 %, 10 %, 0; custom:<warning>"),
    Column("fired_at", Moment, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("reference", BigInteger, nullable=False),
    Column("set_at", Moment, comment="of the custom warning as it was; one set anew has not fired"),
    PrimaryKeyConstraint("account", "threshold"),
)

at_risk = Table(
    "at_risk",
    metadata,
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("since", Moment, nullable=False, comment="when it was told"),
    Column("date", Moment, nullable=False, comment="of the first renewal that is not covered"),
    Column("missing", BigInteger, nullable=False),
)

receipt_due = Table(
    "receipt_due",
    metadata,
    Column("transaction", BigInteger, primary_key=True, autoincrement=False),
    Column("account", BigInteger, nullable=False),
    Column("order_id", Text, comment="null: of a recharge"),
)

receipt_series = Table(
    "receipt_series",
    metadata,
    Column("top", BigInteger, nullable=False),
    Column("year", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("top", "year"),
)

receipt = Table(
    "receipt",
    metadata,
    Column("number", Text, primary_key=True, comment="<top account>-<year>-<six digits>"),
    Column("top", BigInteger, nullable=False),
    Column("year", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="without gaps"),
    Column("account", BigInteger, nullable=False),
    Column("transaction", BigInteger, nullable=False),
    Column("order_id", Text),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("content", Text, nullable=False, comment="JSON: all that is printed, as it was then"),
    Column("emails", ARRAY(Text), nullable=False, comment="to whom it was mailed"),
    UniqueConstraint("top", "year", "seq"),
    UniqueConstraint("transaction"),
    CheckConstraint("kind IN ('recharge', 'order')", name="kind"),
    CheckConstraint("seq >= 1", name="seq"),
    Index("receipt_order_idx", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    Index("receipt_account_idx", "account", "issued_at"),
    Index("receipt_issued_idx", "issued_at", "number"),
)

mail = Table(
    "mail",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("message_id", Text, nullable=False, unique=True, comment="the same for the same mail, for ever"),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("receipt", Text, comment="the number of the receipt that goes with it"),
    Column("account", BigInteger, nullable=False, comment="what it is about"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("created_at", Moment, nullable=False),
    Column("next_try_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("sent_at", Moment),
    Column("error", Text, comment="what the server said last"),
    CheckConstraint("state IN ('waiting', 'sent', 'given up')", name="state"),
    Index("mail_waiting_idx", "next_try_at", postgresql_where=text("state = 'waiting'")),
    Index("mail_created_idx", "created_at"),
)
