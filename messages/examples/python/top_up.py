"""Tops an account up and waits for the outcome: python top_up.py ACCOUNT AMOUNT PAYMENT

EDGE_URL (redis://, rediss:// or amqp://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from coinworks_client import EdgeRefused, EdgeUnavailable, Event, OutcomeReader, Publisher, TopUp, event

USAGE = "usage: python top_up.py ACCOUNT AMOUNT PAYMENT, with a whole AMOUNT, and EDGE_URL and PRODUCER in the environment"
URL, PRODUCER = os.environ.get("EDGE_URL", ""), os.environ.get("PRODUCER", "")
PARTITIONS = int(os.environ.get("PARTITIONS", "1"))
WAIT_SECONDS, TRIES = float(os.environ.get("WAIT_SECONDS", "10")), int(os.environ.get("TRIES", "3"))


def main(account: str, amount: int, payment: str) -> int:
    # The id comes from what is paid for, so that the same payment can never be booked twice, whoever sends it again.
    command = event(
        TopUp(account=account, amount=amount, reference=payment),
        source=PRODUCER,
        id=f"top-up-{payment}",
        partitionkey=account,
    )
    for attempt in range(TRIES):
        try:
            outcome = outcome_of(command)
        except EdgeUnavailable as error:
            print(f"{error}; trying again with the same id", file=sys.stderr)
            time.sleep(0.2 * 2**attempt)
            continue
        except EdgeRefused as error:
            print(error, file=sys.stderr)
            return 1
        if outcome is not None:
            return told(outcome)
    print(f"no outcome of {command.id} yet; run this again", file=sys.stderr)
    return 3


def outcome_of(command: Event[TopUp]) -> dict[str, Any] | None:
    """Sends the command and waits; None when no outcome of it came in time."""
    outcomes = OutcomeReader(URL, PRODUCER)  # before sending: it reads what comes from now on
    try:
        with Publisher(
            URL, producer=PRODUCER, partitions=PARTITIONS, secret=os.environ.get("SECRET")
        ) as publisher:
            publisher.send(command)
        until = time.monotonic() + WAIT_SECONDS
        for raw in outcomes.read(within_seconds=WAIT_SECONDS):
            outcome: dict[str, Any] = json.loads(raw)
            asked = outcome["data"]["command"]
            if (asked["source"], asked["id"]) == (command.source, command.id):
                return outcome
            if time.monotonic() > until:
                break
        return None
    finally:
        outcomes.close()


def told(outcome: dict[str, Any]) -> int:
    data = outcome["data"]
    if outcome["type"] == "coins.CommandApplied.v1":
        print(f"applied {data['transaction']}{' (decided before)' if data['duplicate'] else ''}")
        return 0
    print(f"rejected {data['reason']}: {data['message']}")
    return 4


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[2].isdecimal() or not (URL and PRODUCER):
        print(USAGE, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
