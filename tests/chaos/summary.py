"""What a campaign came to, as a table for people."""

from __future__ import annotations

import itertools

from tests.chaos.campaign import Campaign
from tests.chaos.faults import KINDS
from tests.chaos.keeper import Keeper
from tests.chaos.load import Load
from tests.system.listening import Heard, Listener

# What shows in the logs that the faults were felt.
WITNESSES = (
    "PANIC",
    "No space left on device",
    "File too large",
    "database system was interrupted",
    "terminated by signal 9",
    "terminating connection due to administrator command",
    "idle-in-transaction timeout",
    "Can't recover from AOF write error",
    "partition taken",
    "partition lost",
    "FenceLost",
    "batch raced",
    "reading again from the ledger's position",
    "published nothing under an old epoch",
    "relaying stopped",
    "run lost",
    "job to be tried again",
    "Logging error",
)


def summary(
    seed: int, campaign: Campaign, load: Load, listener: Listener, keeper: Keeper, ended_at: float
) -> str:
    """Faults by kind, what was sent and answered, and how long nobody was told anything."""
    heard = list(listener.heard)
    figures = {
        "seed": seed,
        "faults played": campaign.played.total(),
        "faults that hit nobody": campaign.missed.total(),
        "seconds of faults": f"{campaign.seconds:.0f}",
        "processes started": keeper.starts,
        "servers started again": ", ".join(f"{name} {n}" for name, n in sorted(keeper.server_starts.items())),
        "commands sent (with repeats and invalid ones)": load.size,
        "messages that are none": sum(one.garbage.total() for one in load.producers),
        "different outcome events": sum(listener.count(one.name) for one in load.producers),
        "of these answers to duplicates": sum(
            one.answer.duplicate for name in load.producers for one in listener.of(name.name)
        ),
        "outcome events heard, published again included": len(heard),
        "of these decided by a clock that was off": sum(
            abs(one.came_at - one.decided_at) > 60 for one in heard
        ),
        "longest time without an outcome": f"{longest_silence(heard):.1f} s",
        "last new outcome after the last fault": f"{last_new(load, listener) - ended_at:.1f} s",
    }
    rows = [(kind.name, campaign.played[kind.name], campaign.missed[kind.name]) for kind in KINDS]
    lines = ["", f"{'fault':<66} {'played':>6} {'hit nobody':>10}"]
    lines += [f"{name:<66} {played:>6} {missed or '':>10}" for name, played, missed in rows]
    lines += [""] + [f"{what:<66} {value}" for what, value in figures.items()]
    said = keeper.said(WITNESSES)
    lines += ["", *(f"in the logs: {words:<53} {said[words]}" for words in WITNESSES)]
    return "\n".join(lines + sorted(campaign.skipped))


def longest_silence(heard: list[Heard]) -> float:
    """Seconds between two outcomes that came one after the other."""
    return max((after.came_at - one.came_at for one, after in itertools.pairwise(heard)), default=0.0)


def last_new(load: Load, listener: Listener) -> float:
    return max(one.came_at for producer in load.producers for one in listener.of(producer.name))
