"""A schedule of faults, drawn from a seed, and its playing: some at the same moment, some while others last."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import KINDS, NOBODY, Kind, Planned
from tests.chaos.stage import Stage

AT_ONCE = 4
TOGETHER = 0.2  # the share of faults that begin with the one before them
BY_NAME = {kind.name: kind for kind in KINDS}


def schedule(seed: int, faults: int, *, pause_seconds: float, longest_seconds: float = 60.0) -> list[Planned]:
    """Every kind as often as another, give or take one, in any order; the same for the same arguments."""
    chance = random.Random(seed)
    kinds: list[Kind] = []
    while len(kinds) < faults:
        kinds += chance.sample(KINDS, len(KINDS))
    plans = []
    for number, kind in enumerate(kinds[:faults]):
        together = number > 0 and chance.random() < TOGETHER
        after = 0.0 if together else chance.uniform(0.2, 1.8) * pause_seconds
        longest = max(kind.shortest_seconds, min(kind.longest_seconds, longest_seconds))
        seconds = chance.uniform(kind.shortest_seconds, longest)
        plans.append(Planned(number, round(after, 2), kind.name, round(seconds, 2), chance.random()))
    return plans


@dataclass
class Campaign:
    """Plays a schedule. `told` says what became of each fault, in the order in which they ended."""

    stage: Stage
    plans: Sequence[Planned]
    played: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    skipped: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    seconds: float = 0.0
    _again: list[Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began: float = 0.0
    _room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def play(self) -> None:
        """Play all of it, and undo what is left of it. Raises what a fault stumbled over: that is a defect of the test."""
        self._began = time.monotonic()
        try:
            self._play_all(self.plans)
            # What has hit nobody, because nobody was there at that moment, is played once more.
            self._play_all(tuple(self._again))
        finally:
            self.stage.calm()
            self.seconds = time.monotonic() - self._began
        if self.failures:
            raise self.failures[0]

    def _play_all(self, plans: Sequence[Planned]) -> None:
        threads = []
        try:
            for plan in plans:
                time.sleep(plan.after_seconds)
                self._room.acquire()
                if self.failures:
                    break
                thread = threading.Thread(target=self._play, args=(plan,), name="fault", daemon=True)
                threads.append(thread)
                thread.start()
        finally:
            for thread in threads:
                thread.join(60)

    def _play(self, plan: Planned) -> None:
        began = time.monotonic() - self._began
        try:
            said = BY_NAME[plan.kind].play(self.stage, plan)
        except BaseException as error:  # noqa: BLE001 - handed to whoever plays
            self.failures.append(error)
            said = f"raised {error!r}"
        else:
            self._count(plan, said)
        finally:
            self._room.release()
        self.told.append(f"{began:7.1f} s  #{plan.number:<3} {plan.kind} ({plan.seconds:.1f} s): {said}")

    def _count(self, plan: Planned, said: str) -> None:
        with self._lock:
            self._note(plan, said)

    def _note(self, plan: Planned, said: str) -> None:
        if said.startswith("skipped"):
            self.skipped.add(f"{plan.kind}: {said}")
        elif said.startswith(NOBODY):
            self.missed[plan.kind] += 1
            self._again.append(plan)
        else:
            self.played[plan.kind] += 1
