"""Starts again whatever has ended, as an operating system's supervisor would: processes of the product, and servers."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.embedded import EmbeddedServer
from deploy.errors import DeployError
from tests.chaos.proxy import Proxy
from tests.rabbitmq import through
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Program, Site, until

LOOK_SECONDS = 0.1
AGAIN_SECONDS = 0.3
VERBS = {"worker": WORKER, "relay": RELAY, "scheduler": SCHEDULER, "jobs": JOBS}
ASKED_TO_END = {0, -signal.SIGKILL, -signal.SIGTERM}


@dataclass
class Post:
    """A place that is to be taken by a process at all times."""

    role: str
    program: Program
    dismissed: bool = False


@dataclass
class Keeper:
    """Usable with `with`: the posts are filled then, and whoever leaves is replaced. Processes speak through the proxies."""

    site: Site
    database: Proxy
    redis: Proxy
    edge: Proxy
    roles: list[str]
    servers: list[EmbeddedServer]
    events_keep: int
    starts: int = 0
    server_starts: dict[str, int] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Keeper:
        for role in self.roles:
            self.add(role)
        self.site.wait_ready(*(post.program for post in self.posts))
        watches = [(self._watch_programs, ()), *((self._watch_server, (one,)) for one in self.servers)]
        for target, given in watches:
            thread = threading.Thread(target=target, args=given, name="keeper", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def edge_url(self, role: str) -> str:
        """Where a role finds the edge: behind its proxy."""
        port = self.edge.ports[role]
        url = self.site.rabbitmq_url
        return f"redis://127.0.0.1:{port}/0" if url is None else through(url, port)

    def add(self, role: str) -> Post:
        """One process more of a role."""
        with self._lock:
            post = Post(role, self._start(role))
            self.posts.append(post)
        return post

    def dismiss(self, post: Post) -> None:
        """It leaves, and nobody takes its place."""
        with self._lock:
            post.dismissed = True
            self.posts.remove(post)
            program = post.program
        program.send(signal.SIGTERM)
        program.wake()
        try:
            program.process.wait(20)
        finally:
            program.kill()
        self._remember(program, post.role)

    def alive(self, role: str) -> list[Program]:
        """Those that run at this moment."""
        with self._lock:
            found = [post.program for post in self.posts if post.role == role]
        return [one for one in found if one.process.poll() is None]

    def everybody(self) -> list[Program]:
        with self._lock:
            return [post.program for post in self.posts]

    def wait_complete(self, seconds: float) -> None:
        """Until every post is taken by a process that is ready, and both servers run."""
        until(lambda: all(one.alive for one in self.servers), seconds, self.logs)
        until(lambda: all(one.ready_file.exists() for one in self.everybody()), seconds, self.logs)

    def logs(self) -> str:
        """The ends of the logs of all who are at their posts, and of the servers."""
        servers = [
            (one.log.name, one.log.read_bytes()[-3_000:].decode(errors="replace")) for one in self.servers
        ]
        programs = [(one.log_file.name, one.log[-2_500:]) for one in self.everybody()]
        return "\n".join(f"--- {name}\n{end}" for name, end in [*servers, *programs])

    def said(self, words: Iterable[str]) -> Counter[str]:
        """How often each of some words stands in the logs, also of those who are gone."""
        files = [*(one.log for one in self.servers), *(one.log_file for one in self.site.programs)]
        found: Counter[str] = Counter()
        for file in files:
            log = file.read_bytes()
            found.update({word: log.count(word.encode()) for word in words})
        return found

    def _start(self, role: str) -> Program:
        self.starts += 1
        database, redis = self.database.ports[role], self.redis.ports[role]
        return self.site.start(
            *VERBS[role],
            wait=False,
            DATABASE_URL=f"postgresql://coinworks@127.0.0.1:{database}/{self.site.database}",
            REDIS_URL=f"redis://127.0.0.1:{redis}/0",
            EDGE_URL=self.edge_url(role),
            EVENTS_KEEP=self.events_keep,
        )

    def _watch_programs(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                for post in self.posts:
                    if post.program.process.poll() is not None:
                        self._remember(post.program, post.role)
                        self._replace(post)

    def _replace(self, post: Post) -> None:
        try:
            post.program = self._start(post.role)
        except OSError as error:  # its log cannot be opened while the disk is full
            self.surprises.append(f"{post.role} could not be started: {error}")

    def _remember(self, program: Program, role: str) -> None:
        code = program.process.returncode
        if code not in ASKED_TO_END:
            self.surprises.append(f"{role} ended by itself ({code}):\n{program.log[-1_500:]}")

    def _watch_server(self, server: EmbeddedServer) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if server.alive:
                continue
            time.sleep(AGAIN_SECONDS)
            try:
                server.start()
                self.server_starts[server.name] = self.server_starts.get(server.name, 0) + 1
            except (DeployError, OSError):
                self._stopping.wait(AGAIN_SECONDS)  # its disk may be full: that passes
