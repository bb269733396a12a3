"""Where tests run jobs by a clock of their own, and read what came of it: events, mails, items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from pydantic import SecretStr

from ledger.database import connect_for_jobs
from messages.events import FURTHER_EVENTS
from tests.desk import LedgerDesk
from workers.jobs.rows import ask, take
from workers.jobs.run import Item, Run
from workers.settings import Settings

Job = Callable[[Run], str]


class Mailed(NamedTuple):
    recipient: str
    subject: str
    body: str


class Clockwork:
    """Jobs on the ledger of a desk, by the desk's clock unless told otherwise."""

    def __init__(self, desk: LedgerDesk, url: str, directory: Path) -> None:
        self._desk = desk
        self.settings = Settings(database_url=SecretStr(url), data_dir=directory)
        self._url = url
        self.connection = connect_for_jobs(url, name="test")
        self._others: list[psycopg.Connection[Any]] = []

    def run(
        self, job: Job, *, now: datetime | None = None, dry_run: bool = False, as_row: bool = False
    ) -> Run:
        """The job, done. as_row: with a row, under which its items are kept."""
        if as_row:
            run = self.begin(now=now)
        else:
            run = Run("test", now or self._desk.now, self.settings, self.connection, dry_run=dry_run)
        job(run)
        return run

    def begin(self, *, now: datetime | None = None, stopping: Callable[[], bool] = lambda: False) -> Run:
        """A run with a row, taken and not yet done. stopping: asked between two steps."""
        run = Run("test", now or self._desk.now, self.settings, self.connection, stopping=stopping)
        run.id = ask(self.connection, "test", run.now, "tests")
        taken = take(self.connection, run.id, "tests")
        assert taken is not None
        run.epoch = taken.epoch
        return run

    def overtake(self, run: Run) -> Run:
        """The same run, taken over by another process, on a session of its own: that one was frozen for too long."""
        assert run.id is not None
        other = connect_for_jobs(self._url, name="test")
        self._others.append(other)
        other.execute("UPDATE job_run SET lease_until = '-infinity' WHERE id = %s", (run.id,))
        taken = take(other, run.id, "another")
        assert taken is not None
        return replace(run, connection=other, epoch=taken.epoch, stopping=lambda: False, items=[])

    def items(self, run: Run) -> list[Item]:
        rows = self._desk.all(
            "SELECT item, outcome, reason, detail FROM job_item WHERE run = %s ORDER BY item", run.id
        )
        return [Item(*row) for row in rows]

    def events(self) -> list[Any]:
        """What the jobs have announced since this was last asked, in its order."""
        rows = self._desk.all("DELETE FROM outbox RETURNING id, events")
        lines = [line.split(b" ", 2) for _, events in sorted(rows) for line in events.split(b"\n")]
        events = [FURTHER_EVENTS.validate_json(raw) for _, _, raw in lines]
        for (route, type_, _), one in zip(lines, events, strict=True):
            assert type_.decode() == one.type
            assert route.decode() == f"event.{one.data.top_account}.{one.type}"
        return events

    def mails(self) -> list[Mailed]:
        """What has been written since this was last asked, by recipient."""
        rows = self._desk.all("DELETE FROM mail RETURNING recipient, subject, body")
        return sorted(Mailed(*row) for row in rows)

    def asked_for(self) -> set[str]:
        """The jobs that are to follow."""
        return {job for (job,) in self._desk.all("SELECT job FROM job_run WHERE state = 'waiting'")}

    def reconnect(self) -> None:
        """As another process would, after this one was killed."""
        self.connection.close()
        self.connection = connect_for_jobs(self._url, name="test")

    def close(self) -> None:
        for connection in (self.connection, *self._others):
            connection.close()
