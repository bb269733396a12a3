"""Up to which moment a job is done, as a whole or for an account: moved in the transaction of what it stands for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

_MARKED = "SELECT until FROM job_mark WHERE job = %b AND subject = %b"
_MARK = """
INSERT INTO job_mark AS m (job, subject, until) VALUES (%b, %b, least(%b, clock_timestamp()))
ON CONFLICT (job, subject) DO UPDATE SET until = greatest(m.until, excluded.until)"""


def marked(connection: psycopg.Connection[Any], job: str, subject: int = 0) -> datetime | None:
    """None where it has never been done."""
    row = connection.execute(_MARKED, (job, subject)).fetchone()
    return row[0] if row else None


def mark(connection: psycopg.Connection[Any], job: str, until: datetime, subject: int = 0) -> None:
    """It never moves back: what was done is not done again because a clock was set back. Nor past the present: a run by a
    clock that is ahead is no reason to do nothing until then.
    """
    connection.execute(_MARK, (job, subject, until))
