"""Every kind of fault: it plays on a stage, for some seconds where it lasts, and says whom it has hit."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from deploy.embedded import EmbeddedServer
from deploy.errors import ServerNotRunning
from tests.chaos.disks import LIMITS, family, limit_files
from tests.chaos.proxy import Moment, Proxy, Trap
from tests.chaos.stage import PRODUCERS, Stage, wake

HOUR, DAY = 3_600.0, 86_400.0
JUMPS_SECONDS = (-3 * DAY, -HOUR, -90.0, 90.0, HOUR, DAY, 40 * DAY)
SMALL_FILE_BYTES = 2 << 20
# Where the work is done, apart from the sessions for leases and heartbeats.
WORKING = {
    "worker": "coins worker",
    "relay": "coins relay",
    "jobs": "coins job",
    "scheduler": "coins scheduler",
}
NOBODY = "nobody was there to be hit"


class Planned(NamedTuple):
    """A fault of a schedule: how long after the one before it begins, how long it lasts, and the dice for its choices."""

    number: int
    after_seconds: float
    kind: str
    seconds: float
    dice: float

    def role(self, *roles: str) -> str:
        """One of them, by the dice."""
        return roles[int(self.dice * 7_919) % len(roles)]


Play = Callable[[Stage, Planned], str]


class Kind(NamedTuple):
    """A name for people, what it does, how long it lasts at least and at most, and the disk that it needs, if any."""

    name: str
    play: Play
    shortest_seconds: float = 0.0
    longest_seconds: float = 0.0
    disk: str | None = None


# Processes of the product


def kill(role: str) -> Play:
    def play(stage: Stage, plan: Planned) -> str:
        victim = stage.victim(role, plan.dice)
        if victim is None:
            return NOBODY
        victim.send(signal.SIGKILL)
        return f"process {victim.pid}"

    return play


def freeze(*roles: str) -> Play:
    def play(stage: Stage, plan: Planned) -> str:
        role = plan.role(*roles)
        victim = stage.victim(role, plan.dice)
        if victim is None:
            return NOBODY
        victim.freeze()
        time.sleep(plan.seconds)
        victim.wake()
        return f"{role} {victim.pid}"

    return play


def leave(stage: Stage, plan: Planned) -> str:
    role = plan.role("worker", "relay", "scheduler", "jobs")
    victim = stage.victim(role, plan.dice)
    if victim is None:
        return NOBODY
    victim.send(signal.SIGTERM)
    return f"{role} {victim.pid}"


def join_and_leave(stage: Stage, plan: Planned) -> str:
    """One process more, which shares the work and goes again."""
    post = stage.keeper.add(plan.role("worker", "worker", "relay", "scheduler", "jobs"))
    time.sleep(plan.seconds)
    stage.keeper.dismiss(post)
    return f"{post.role} {post.program.pid}"


# Servers


def signalled(server: EmbeddedServer, sig: signal.Signals) -> str:
    """The keeper starts it again."""
    try:
        pid = server.pid
        os.kill(pid, sig)
    except (ServerNotRunning, ProcessLookupError):
        return NOBODY
    return f"process {pid}"


def freeze_server(server: EmbeddedServer, seconds: float) -> str:
    with contextlib.suppress(ServerNotRunning):
        pids = family(server.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in pids:
            wake(pid)
        return f"{len(pids)} processes"
    return NOBODY


def hit_backend(sig: signal.Signals) -> Play:
    def play(stage: Stage, plan: Planned) -> str:
        role = plan.role("worker", "worker", "relay", "jobs", "scheduler")
        pid = stage.backend(role, plan.dice)
        if pid is None:
            return NOBODY
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
            time.sleep(plan.seconds)
        if sig is signal.SIGSTOP:
            wake(pid)
        return f"{role}'s session {pid}"

    return play


def end_session(stage: Stage, plan: Planned) -> str:
    role = plan.role("worker", "worker", "relay", "jobs", "scheduler")
    pid = stage.backend(role, plan.dice)
    if pid is None:
        return NOBODY
    stage.ask(f"SELECT pg_terminate_backend({pid})")
    return f"{role}'s session {pid}"


# Disks


def fill_disk(name: str) -> Play:
    def play(stage: Stage, plan: Planned) -> str:
        disk = stage.disks[name]
        if not disk.own:
            return "skipped: a disk of its own may not be mounted here"
        disk.fill()
        time.sleep(plan.seconds)
        disk.free()
        return str(disk.path.name)

    return play


def no_file_may_grow(server_of: Callable[[Stage], EmbeddedServer], size_bytes: int) -> Play:
    def play(stage: Stage, plan: Planned) -> str:
        if LIMITS is None:
            return "skipped: there is no prlimit here"
        with contextlib.suppress(ServerNotRunning):
            pid = server_of(stage).pid
            limit_files(family(pid), size_bytes)
            time.sleep(plan.seconds)
            limit_files(family(pid), None)
            limit_files(family(pid), None)  # also those that were started meanwhile
            return f"process {pid} and its children"
        return NOBODY

    return play


# Connections


def cut(proxy_of: Callable[[Stage], Proxy], *roles: str) -> Play:
    def play(stage: Stage, plan: Planned) -> str:
        role = plan.role(*roles)
        hit = proxy_of(stage).cut(role, one_of_them=None if plan.dice < 0.5 else plan.dice)
        return f"{hit} of {role}"

    return play


def cut_exactly(proxy_of: Callable[[Stage], Proxy], moment: Moment, *roles: str) -> Play:
    """Of a role, whoever is the next to commit, or to publish."""

    def play(stage: Stage, plan: Planned) -> str:
        role, proxy = plan.role(*roles), proxy_of(stage)
        trap = Trap(role, moment)
        proxy.set_trap(trap)
        sprung = trap.sprung.wait(plan.seconds)
        proxy.take_away(trap)
        return role if sprung else f"{NOBODY}: none of {role} did so for {plan.seconds:.1f} s"

    return play


def hold_up(proxy_of: Callable[[Stage], Proxy], *roles: str) -> Play:
    """All of a role's; or, of those to the database, every other time only the ones in which batches or runs are done."""

    def play(stage: Stage, plan: Planned) -> str:
        role, proxy = plan.role(*roles), proxy_of(stage)
        session = WORKING.get(role, "") if proxy.postgres and plan.dice < 0.5 else ""
        proxy.hold_up(role, session)
        time.sleep(plan.seconds)
        proxy.let_through(role, session)
        return session or role

    return play


# Leases and clocks


def lease_runs_out(stage: Stage, plan: Planned) -> str:
    """At once, under whoever has it."""
    table, where = [
        ("partition", "id = 0"),
        ("partition", "id = 1"),
        ("lease", "name = 'relay'"),
        ("lease", "name = 'scheduler'"),
        ("job_run", "state = 'running'"),
    ][int(plan.dice * 7_919) % 5]
    stage.ask(f"UPDATE {table} SET lease_until = '-infinity' WHERE {where}")
    return f"{table} {where}"


def clock_jumps(stage: Stage, plan: Planned) -> str:
    off = JUMPS_SECONDS[int(plan.dice * 7_919) % len(JUMPS_SECONDS)]
    stage.clock.off_by(off)
    time.sleep(plan.seconds)
    stage.clock.off_by(0.0)
    return f"{off:+.0f} s, and back"


def of_database(stage: Stage) -> Proxy:
    return stage.database


def of_edge(stage: Stage) -> Proxy:
    return stage.edge


ANY = ("worker", "worker", "relay", "jobs", "scheduler")
COMMIT = ("worker", "worker", "worker", "jobs")
KINDS = (
    Kind("kill -9: command worker", kill("worker")),
    Kind("kill -9: relay", kill("relay")),
    Kind("kill -9: scheduler", kill("scheduler")),
    Kind("kill -9: job worker", kill("jobs")),
    Kind("kill -9: PostgreSQL", lambda stage, _: signalled(stage.postgres, signal.SIGKILL)),
    Kind("kill -9: one session of PostgreSQL", hit_backend(signal.SIGKILL)),
    Kind("kill -9: Valkey", lambda stage, _: signalled(stage.valkey, signal.SIGKILL)),
    Kind("SIGTERM: a process", leave),
    Kind("SIGTERM: Valkey", lambda stage, _: signalled(stage.valkey, signal.SIGTERM)),
    Kind("SIGINT: PostgreSQL (fast shutdown)", lambda stage, _: signalled(stage.postgres, signal.SIGINT)),
    Kind("pg_terminate_backend of a session", end_session),
    Kind("frozen shortly: a process", freeze(*ANY), 0.2, 1.5),
    Kind("frozen past its lease: command worker", freeze("worker"), 4.0, 9.0),
    Kind("frozen past its lease: relay", freeze("relay"), 4.0, 9.0),
    Kind("frozen past its lease: scheduler", freeze("scheduler"), 4.0, 9.0),
    Kind("frozen past its heartbeat: job worker", freeze("jobs"), 4.0, 18.0),
    Kind("frozen: PostgreSQL", lambda stage, plan: freeze_server(stage.postgres, plan.seconds), 0.5, 5.0),
    Kind("frozen: one session of PostgreSQL", hit_backend(signal.SIGSTOP), 0.5, 6.0),
    Kind("frozen: Valkey", lambda stage, plan: freeze_server(stage.valkey, plan.seconds), 0.5, 6.0),
    Kind("one process more, which leaves again", join_and_leave, 2.0, 8.0),
    Kind("disk full: PostgreSQL", fill_disk("pg"), 1.0, 5.0, "pg"),
    Kind("disk full: Valkey", fill_disk("vk"), 1.0, 5.0, "vk"),
    Kind("disk full: files and logs", fill_disk("files"), 1.0, 6.0, "files"),
    Kind(
        "no file may grow: PostgreSQL",
        no_file_may_grow(lambda stage: stage.postgres, SMALL_FILE_BYTES),
        1.0,
        4.0,
    ),
    Kind("no file may grow: Valkey", no_file_may_grow(lambda stage: stage.valkey, 1), 0.5, 3.0),
    Kind("connections cut: to PostgreSQL", cut(of_database, *ANY)),
    Kind("connections cut: to the edge", cut(of_edge, *ANY, PRODUCERS)),
    Kind("COMMIT cut before the server got it", cut_exactly(of_database, Moment.BEFORE, *COMMIT), 4.0, 15.0),
    Kind(
        "COMMIT cut after it was done, before its client heard so",
        cut_exactly(of_database, Moment.AFTER, *COMMIT),
        8.0,
        15.0,
    ),
    Kind("events cut before the server got them", cut_exactly(of_edge, Moment.BEFORE, "relay"), 4.0, 15.0),
    Kind(
        "events cut after the server got them, before it could say so",
        cut_exactly(of_edge, Moment.AFTER, "relay"),
        8.0,
        15.0,
    ),
    Kind(
        "commands cut before the server got them", cut_exactly(of_edge, Moment.BEFORE, PRODUCERS), 8.0, 15.0
    ),
    Kind(
        "commands cut after the server got them, before it could say so",
        cut_exactly(of_edge, Moment.AFTER, PRODUCERS),
        8.0,
        15.0,
    ),
    Kind("connections held up: to PostgreSQL", hold_up(of_database, *ANY), 0.5, 15.0),
    Kind("connections held up: to the edge", hold_up(of_edge, *ANY, PRODUCERS), 0.5, 8.0),
    Kind("a lease runs out", lease_runs_out),
    Kind("the clock jumps", clock_jumps, 2.0, 7.0),
)
