"""The rows of runs, by hand: asked for, taken, and what the database's clock does to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from ledger.database import connect_for_jobs
from workers.jobs import rows
from workers.jobs.performing import Job, perform
from workers.jobs.rows import Taken
from workers.jobs.run import Run
from workers.settings import Settings

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Connection = psycopg.Connection[Any]


class Runs:
    """The rows of runs, and a hand on the database's clock: a lease that runs out, a pause that is over."""

    def __init__(self, url: str, directory: Path) -> None:
        self.settings = Settings(database_url=SecretStr(url), data_dir=directory)
        self.connection = connect_for_jobs(url, name="test")

    def ask(self, job: str = "sweep", at: datetime = AT) -> int:
        return rows.ask(self.connection, job, at, "tests")

    def take(self, id_: int, owner: str = "one") -> Taken | None:
        return rows.take(self.connection, id_, owner)

    def taken(self, job: str = "sweep", owner: str = "one", **given: Any) -> Run:
        """A run that was taken, on a session of its owner's own."""
        taken = self.take(self.ask(job), owner)
        assert taken is not None
        return self.run(taken, **given)

    def run(self, taken: Taken, connection: Connection | None = None, **given: Any) -> Run:
        return Run(
            taken.job,
            taken.at,
            self.settings,
            connection or self.connection,
            id=taken.id,
            epoch=taken.epoch,
            **given,
        )

    def lease_runs_out(self, id_: int) -> None:
        self.execute(
            "UPDATE job_run SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s", id_
        )

    def pause_is_over(self, id_: int) -> None:
        self.execute("UPDATE job_run SET not_before = '-infinity' WHERE id = %s", id_)

    def pause_seconds(self, id_: int) -> int:
        return round(self.column(id_, "extract(epoch FROM not_before - clock_timestamp())::float8"))

    def state(self, id_: int) -> str:
        return str(self.column(id_, "state"))

    def column(self, id_: int, name: str) -> Any:
        ((value,),) = self.execute(f"SELECT {name} FROM job_run WHERE id = %s", id_)
        return value

    def items(self, id_: int) -> list[tuple[Any, ...]]:
        return self.execute("SELECT item, outcome, reason FROM job_item WHERE run = %s ORDER BY item", id_)

    def execute(self, statement: str, *values: Any) -> list[Any]:
        cursor = self.connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def perform(self, id_: int, job: Job, **given: Any) -> bool:
        return perform(id_, {"sweep": job}, self.settings, owner="worker", **given)


def sweep(connection: Connection, things: list[str]) -> None:
    """What the jobs of these tests do: each thing is swept once, else the database refuses it."""
    for thing in things:
        connection.execute("INSERT INTO job_mark (job, subject, until) VALUES (%b, 0, now())", (thing,))


def swept(runs: Runs) -> list[str]:
    return [thing for (thing,) in runs.execute("SELECT job FROM job_mark ORDER BY 1")]
