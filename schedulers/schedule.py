"""The table of jobs: what runs when. Jobs only knock; what is to be done, and how far it is, stands in PostgreSQL.

Times are UTC. A run that was missed is made up for once (`coalesce`), however late (`misfire_grace_time=None`).
"""

from __future__ import annotations

from typing import NamedTuple

from apscheduler.triggers.base import BaseTrigger


class Job(NamedTuple):
    """A name for people, when it runs, and the actor that is knocked at."""

    name: str
    trigger: BaseTrigger
    actor: str


JOBS: tuple[Job, ...] = ()
