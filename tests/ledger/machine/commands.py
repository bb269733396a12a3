"""Random commands of the small world."""

from __future__ import annotations

from typing import NamedTuple

from tests.ledger.machine import about_accounts, about_products
from tests.ledger.machine.emptying import next_step
from tests.ledger.machine.world import EMPTIED, FIRST, INVALID, Data, World, of_run

MADE = [*about_accounts.MADE, *about_products.MADE]
WEIGHTS = [weight for *_, weight in MADE]


class Asked(NamedTuple):
    """A command, and how it is keyed: `new`, `late`, or under the id of an earlier one, repeated or with other content."""

    name: str
    data: Data
    valid: bool
    key: str
    earlier: int


def first(prefix: str) -> list[Asked]:
    return [Asked(name, of_run(prefix, data), True, "new", 0) for name, data in FIRST]


def random_command(world: World) -> Asked:
    rng = world.rng
    key = rng.choices(["new", "repeat", "steal", "late"], [90, 5, 3, 1])[0]
    earlier = rng.randrange(20)
    if rng.random() < 0.02:
        name, data = rng.choice(INVALID)
        return Asked(name, of_run(world.prefix, data), False, key, earlier)
    one = world.one_of(EMPTIED)
    if rng.random() < 0.1 and one in world.model.holders and world.model.holders[one].state != "closed":
        return Asked(*next_step(world, one), True, key, earlier)
    while True:
        name, make, _ = rng.choices(MADE, WEIGHTS)[0]
        world.lacking = False
        data = make(world)
        if not world.lacking or rng.random() < 0.1:
            return Asked(name, data, True, key, earlier)
