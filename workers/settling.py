"""When a queue that is new may be read: not before what stood in the common queue when it was bound.

A producer that gets a queue of its own has commands in the common one from before, and its order is that of both.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

# As long as it takes the server, and some more, to end a connection that has not said a word.
PREDECESSOR_SECONDS = 3.0
# What the server has given and is still on its way.
CALM_SECONDS = 0.3
LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Settling:
    """Of one common queue: the new queues that wait for it.

    calm_from: when nothing can come back to it any more of what somebody else was given. last: how many of its messages
    will have been taken when none of then is left; None until it was counted.
    """

    calm_from: float
    queues: deque[str] = field(default_factory=deque)
    last: int | None = None
    looked_at: float = 0.0
    came: int = -1
    calm_since: float = 0.0

    def add(self, queue: str) -> None:
        self.queues.append(queue)
        self.last = None

    def is_due(self) -> bool:
        return time.monotonic() - self.looked_at >= LOOK_SECONDS

    def look(self, standing: int, *, came: int, taken: int, unacknowledged: int) -> bool:
        """Whether they may be read now.

        standing: what the server has and has given to nobody. came, taken: how many messages of it we were given, and
        have handed out, so far. unacknowledged: how many whoever reads it may have been given.
        """
        now = self.looked_at = time.monotonic()
        if self.last is None:
            self.last = taken + standing + unacknowledged
        if standing or came != taken or came != self.came:
            self.came, self.calm_since = came, now
        return taken >= self.last or now - max(self.calm_since, self.calm_from) >= CALM_SECONDS
