"""Makes the day: `python -m deploy.demo.make_day [DIR]` writes `day.ndjson` and `day.expected.json`, the same every time.

What is expected must not depend on whose command comes first in the hours when all producers send. So the devices' side
buys only where there is more than enough or where nothing comes in, the cloud platform sells where nobody else does, and
the back office does nothing then that could refuse a purchase. `made` tries all extremes and the order of the file, and
demands that they agree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import chain, permutations
from pathlib import Path
from random import Random

from deploy.demo.cloud_side import CloudSide, coins_for_the_day
from deploy.demo.devices_side import DevicesSide
from deploy.demo.expectation import expectation
from deploy.demo.office_side import OfficeSide
from deploy.demo.scenes import SCENES
from deploy.demo.story import CLOUD, DEVICES, HERE, Chapter, Evening, Message, Story, encoded, write

SEED = 20260302

GARBAGE = (
    b'{"specversion":"1.0","id":"dm-cut-off","source":"device-mgmt","type":"coins.Debit',
    b"<?xml version='1.0'?><onboarding account='huaxin-pudong' device='HX3000001'/>",
    b"GET /health HTTP/1.1",
    b"\xff\xfe{} \xc3( not what anybody here speaks",
    "Gerät RT3000007 bitte freischalten, danke!".encode(),
    b"[]",
    b'"a text, but no event"',
    b'{"specversion":"1.0","type":"coins.TopUp.v1","data":{"account":"huaxin","amount":5}}',
)


def made() -> Story:
    """The day, its expectation included. Raises AssertionError where it would depend on an interleaving."""
    random = Random(SEED)
    office = OfficeSide(random)
    devices = DevicesSide(random)
    morning = [*office.morning(), Message(encoded(devices.test_call()), DEVICES)]
    device_lines = [Message(encoded(content), DEVICES) for content in devices.day()]
    for garbage in GARBAGE:
        device_lines.insert(random.randrange(len(device_lines)), Message(garbage, DEVICES))
    office_lines = office.day()
    cloud_lines = [Message(encoded(content), CLOUD) for content in CloudSide(random).day()]
    coins = coins_for_the_day()
    opening = [(Chapter("the back office sets up everybody", len(morning)), morning)]
    told = [(scene.chapter(), list(scene.messages())) for scene in SCENES]
    ready = [(Chapter("Atlântico and Maré see to the coins for the day", len(coins)), coins)]
    day = interleaved(interleaved(device_lines, office_lines, random.random), cloud_lines, random.random)
    crowd = Chapter("three producers send all day, all at once", len(day), worker_dies=True)
    before = [*opening, *told, *ready]
    evening = Evening(devices.refundable, office.bounced, office.recharged_again)
    expected = expectation([*before, (crowd, day)], evening)
    for order in permutations((device_lines, office_lines, cloud_lines)):
        other = expectation([*before, (crowd, chain(*order))], evening)
        assert other == expected, "the result depends on the interleaving"
    chapters = [*before, (crowd, day)]
    return Story([one for one, _ in chapters], [messages for _, messages in chapters], evening, expected)


def interleaved(some: list[Message], others: list[Message], chance: Callable[[], float]) -> list[Message]:
    """Both in their own order, mixed in proportion."""
    mixed: list[Message] = []
    first, second = iter(some), iter(others)
    left, right = len(some), len(others)
    while left or right:
        if chance() * (left + right) < left:
            mixed.append(next(first))
            left -= 1
        else:
            mixed.append(next(second))
            right -= 1
    return mixed


if __name__ == "__main__":
    write(made(), Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
