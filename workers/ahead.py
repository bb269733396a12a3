"""What a consumer has read ahead, and what of it goes into the next batch.

The scheduler's renewals come by the hundred thousand and nobody waits for one of them; for any other command somebody does.
So those go first, and while there are such, a batch has few renewals: a command waits for the batch before it to end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from ledger.batch import Delivery
from ledger.trust import Producers
from messages.codec import Decoded, Part
from messages.streams import SCHEDULER
from workers.streams import MAX_BYTES, MAX_DELIVERIES

MAX_COMMANDS = 1_000
DEVICES_A_COMMAND = 20
# Of the scheduler's commands in a batch: while others come in, and otherwise.
FEW, MANY = 25, 500
BUSY_SECONDS = 2.0


class Ahead:
    """Deliveries that were read, in the order of their streams. `portion` takes the next batch out of them."""

    def __init__(self) -> None:
        self._deliveries: deque[Delivery] = deque()
        self._commands = self._bytes = 0
        self._others_at = -BUSY_SECONDS

    def __bool__(self) -> bool:
        return bool(self._deliveries)

    @property
    def is_full(self) -> bool:
        """Whether there is enough for a batch: more would wait for another."""
        return (
            len(self._deliveries) >= MAX_DELIVERIES
            or self._commands >= MAX_COMMANDS
            or self._bytes >= MAX_BYTES
        )

    @property
    def somebody_waits(self) -> bool:
        """Whether there is more than the scheduler's; if not, it is worth looking who has come meanwhile."""
        return any(one.producer != SCHEDULER for one in self._deliveries)

    def extend(self, deliveries: Iterable[Delivery]) -> None:
        for one in deliveries:
            self._deliveries.append(one)
            self._count(one)

    def judge_anew(self, producers: Producers) -> None:
        """Other producers may send from now on."""
        for one in self._deliveries:
            one.judge_anew(producers)
        self._count_anew()

    def clear(self) -> None:
        self._deliveries.clear()
        self._count_anew()

    def portion(self) -> list[Delivery]:
        """The next batch: up to 500 deliveries, 1,000 commands or 4 MiB, and at least one delivery.

        Of each stream it is what comes next in it: what is left over was read after what is taken.
        """
        now = time.monotonic()
        if self.somebody_waits:
            self._others_at = now
        room = FEW if now - self._others_at < BUSY_SECONDS else MANY
        taken: list[Delivery] = []
        left: deque[Delivery] = deque()
        passed_over: set[str] = set()
        commands = size = background = 0
        while self._deliveries and len(taken) < MAX_DELIVERIES:
            one = self._deliveries.popleft()
            weight = _weight_of(one)
            ours = one.producer == SCHEDULER
            if one.stream in passed_over or (ours and background and background + weight > room):
                passed_over.add(one.stream)
                left.append(one)
                continue
            if taken and (commands + weight > MAX_COMMANDS or size + len(one.body) > MAX_BYTES):
                left.append(one)
                break
            commands, size = commands + weight, size + len(one.body)
            background += weight if ours else 0
            taken.append(one)
        left.extend(self._deliveries)
        self._deliveries = left
        self._commands, self._bytes = self._commands - commands, self._bytes - size
        return taken

    def _count_anew(self) -> None:
        self._commands = self._bytes = 0
        for one in self._deliveries:
            self._count(one)

    def _count(self, one: Delivery) -> None:
        self._commands += _weight_of(one)
        self._bytes += len(one.body)


def _weight_of(one: Delivery) -> int:
    return sum(map(_weight, one.decoded()))


def _weight(part: Part) -> int:
    """How much of a batch a part takes up: a command with hundreds of devices is as much work as many commands.

    How many a subscription pays for is not known here: `ledger.handle` divides what is too much.
    """
    if not isinstance(part, Decoded):
        return 1
    command = part.event.data
    devices = getattr(command, "devices", None) or getattr(command, "goods", None) or ()
    return 1 + len(devices) // DEVICES_A_COMMAND
