"""The demo as a list of its steps: a system starts, a day passes, a worker dies in it, and everything is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deploy.demo.findings import find, mismatches
from deploy.demo.producing import Producers
from deploy.demo.screen import Screen
from deploy.demo.season import season
from deploy.demo.story import Chapter, Message, Story
from deploy.demo.system import Owner, System, running
from deploy.demo.tables import show
from deploy.demo.telling import Telling, telling
from deploy.errors import DeployError, Interrupted

LISTEN_SECONDS = 0.05
SILENCE_SECONDS = 30.0
AFTERMATH_SECONDS = 0.3


class OutcomesMissing(DeployError):
    """Nothing has come for a long time, and not everything is answered."""


class Stretch(NamedTuple):
    """How many outcomes a chapter brought, and in how many seconds."""

    outcomes: int
    seconds: float


@dataclass(slots=True)
class Gap:
    """The time without a worker. Moments of the monotonic clock."""

    victim: str
    waiting: int
    died_at: float
    taken_at: float = 0.0
    successor: str = ""
    first_outcome_at: float = 0.0

    @property
    def seconds(self) -> float:
        """Without outcomes."""
        return self.first_outcome_at - self.died_at


class Day:
    """A day on a running system."""

    def __init__(
        self,
        system: System,
        story: Story,
        screen_: Screen,
        telling_: Telling,
        interrupted: Callable[[], bool],
    ) -> None:
        self._system = system
        self._story = story
        self._screen = screen_
        self.telling = telling_
        self._interrupted = interrupted
        self.producers = Producers(system.redis_url)
        self.began_at = 0.0
        self.gap: Gap | None = None
        self.longest = Stretch(0, 0.0)
        self._epoch_before = 0

    def pass_by(self) -> None:
        """Every chapter, then the evening. Raises OutcomesMissing, Interrupted, redis.RedisError."""
        self.began_at = time.monotonic()
        for chapter, messages in zip(self._story.chapters, self._story.messages, strict=True):
            if chapter.tells:
                self._tell(chapter, messages)
            else:
                self._chapter(chapter, messages)
        if self._story.evening is not None:
            messages = self._story.evening.messages(self.producers.numbers())
            self._screen.step("in the evening: a refund, the same one again, a recharge that bounced")
            self.producers.publish(messages)
            self._await_all()
        self._aftermath()

    @property
    def seconds(self) -> float:
        """From the first publish to the last outcome."""
        return self.producers.last_outcome_at - self.began_at

    def _tell(self, chapter: Chapter, messages: Sequence[Message]) -> None:
        """One command after the other: nobody goes on before the one before is answered."""
        self.telling.begin(chapter)
        for number, message in enumerate(messages):
            self.producers.publish([message])
            self._listen_until(lambda: self.producers.missing <= 0)
            self.telling.tell(chapter, number, self.producers.outcomes[-1])

    def _chapter(self, chapter: Chapter, messages: Sequence[Message]) -> None:
        self._screen.step(f"{chapter.title}: {len(messages):,} messages")
        began_at, told = time.monotonic(), len(self.producers.outcomes)
        if chapter.worker_dies:
            held_back = len(messages) * 2 // 3
            self.producers.publish(messages[:held_back])
            self._kill_in_the_middle(len(messages) // 3)
            self.producers.publish(messages[held_back:])  # nobody has told the producers
            self._await_successor()
        else:
            self.producers.publish(messages)
        self._await_all()
        stretch = Stretch(len(self.producers.outcomes) - told, self.producers.last_outcome_at - began_at)
        self.longest = max(self.longest, stretch)
        if chapter.worker_dies:
            self._screen.step(f"all {len(self.producers.outcomes):,} outcomes are there")

    def _kill_in_the_middle(self, third: int) -> None:
        owner = self._system.await_owner()
        enough = len(self.producers.outcomes) + third
        self._watch_until(lambda: len(self.producers.outcomes) >= enough or not self.producers.missing)
        self._system.kill(owner.name)
        self.gap = Gap(
            victim=owner.name,
            waiting=self.producers.missing,
            died_at=time.monotonic(),
        )
        self._screen.died(owner.name, len(self.producers.outcomes))
        self._epoch_before = owner.epoch

    def _await_successor(self) -> None:
        gap = self.gap
        assert gap is not None
        found: list[Owner] = []

        def taken_over() -> bool:
            owner = self._system.owner()
            if owner is not None and owner.epoch > self._epoch_before:
                found.append(owner)
            return bool(found)

        self._watch_until(taken_over)
        gap.taken_at = time.monotonic()
        gap.successor = found[0].name
        who = "started again," if gap.successor == gap.victim else "the stand-by,"
        self._watch_until(lambda: self.producers.last_outcome_at > gap.taken_at or not self.producers.missing)
        gap.first_outcome_at = self.producers.longest_silence(gap.died_at)[1]
        self._screen.step(
            f"{gap.successor}, {who} took over {gap.taken_at - gap.died_at:.1f} s later, and "
            f"{gap.seconds:.1f} s after the kill the outcomes go on"
        )

    def _await_all(self) -> None:
        self._watch_until(lambda: self.producers.missing <= 0)

    def _watch_until(self, done: Callable[[], bool]) -> None:
        with self._screen.progress(self.producers) as show:
            self._listen_until(done, show)

    def _listen_until(self, done: Callable[[], bool], show: Callable[[], None] = lambda: None) -> None:
        heard_at = time.monotonic()
        while not done():
            if self.producers.listen(seconds=LISTEN_SECONDS):
                heard_at = time.monotonic()
                show()
            if self._interrupted():
                raise Interrupted("asked to stop")
            self._system.check()
            if time.monotonic() - heard_at > SILENCE_SECONDS:
                raise OutcomesMissing(
                    f"{self.producers.missing:,} outcomes have not come, and none for {SILENCE_SECONDS:g} s"
                )

    def _aftermath(self) -> None:
        """Were there an outcome too many, it would come now."""
        quiet_at = time.monotonic() + AFTERMATH_SECONDS
        while time.monotonic() < quiet_at:
            self.producers.listen(seconds=LISTEN_SECONDS)


def run(story: Story, data_dir: Path, files: Path, screen_: Screen, interrupted: Callable[[], bool]) -> bool:
    """Show the whole of it; whether everything adds up. `files`: where what is to be looked at afterwards goes.

    Raises DeployError and what servers' clients raise.
    """
    screen_.opening(story)
    screen_.step(f"starting a system of its own in {data_dir}")
    with running(data_dir, report=screen_.step, interrupted=interrupted) as system:
        screen_.step(f"ready; {system.await_owner().name} applies the commands, the other worker stands by")
        with telling(system.database_url, screen_) as telling_:
            day = Day(system, story, screen_, telling_, interrupted)
            try:
                day.pass_by()
                findings = find(system.database_url)
            finally:
                day.producers.close()
        wrong = mismatches(story.expected, day.producers, day.telling, findings)
        wrong += season(system, screen_, data_dir, files, interrupted)
        screen_.step("verified; stopping")
    show(screen_, day.producers, findings)
    screen_.figures(day)
    screen_.verdict(story.expected, day.producers, findings, wrong)
    return not wrong
