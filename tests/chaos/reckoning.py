"""At the end of every trouble: was each command answered once, in order, was it applied once, do the books agree?"""

from __future__ import annotations

import time
from collections.abc import Iterable

from ledger.database import connect
from ledger.verify import verify
from tests.chaos.load import Load, ProducerLoad
from tests.system.listening import Answer, Listener
from tests.system.site import Site, until

DRAINED_SECONDS = 40.0


def demand_all_is_well(site: Site, load: Load, listener: Listener) -> None:
    """Wait until everything is answered, then demand all of it. Where the load had to send again, repeats are allowed."""
    load.stop()
    began = time.monotonic()
    until(lambda: _all_answered(load, listener), DRAINED_SECONDS, lambda: _missing(site, load, listener))
    print(f"{load.size} outcomes, the last {time.monotonic() - began:.1f} s after the last command")  # noqa: T201
    time.sleep(0.2)
    for event, bodies in listener.by_event().items():
        assert len(bodies) == 1, f"event {event} was published with different contents: {bodies}"
    for producer in load.producers:
        _demand_order(producer, listener, load.repeated)
    demand_balances(site, load)
    demand_sound_books(site)


def _all_answered(load: Load, listener: Listener) -> bool:
    if not load.repeated:
        return all(listener.count(one.name) >= len(one.expected) for one in load.producers)
    return all(
        set(one.expected) <= {heard.answer for heard in listener.of(one.name)} for one in load.producers
    )


def _demand_order(producer: ProducerLoad, listener: Listener, repeated: bool) -> None:
    answers = [one.answer for one in listener.of(producer.name)]
    expected = producer.expected
    if repeated:
        # Nobody knows which of the unconfirmed had arrived: their first answers count, and that nothing else was said.
        assert set(answers) - set(expected) <= {
            Answer(one.id, True, one.reason) for one in expected if one.reason != "invalid_message"
        }
        answers, expected = _first_of_each(answers), _first_of_each(expected)
    for place, (answer, wanted) in enumerate(zip(answers, expected, strict=False)):
        assert answer == wanted, f"{producer.name}: outcome {place} is {answer}, expected {wanted}"
    assert len(answers) == len(expected), f"{producer.name}: {len(answers)} outcomes for {len(expected)}"


def _first_of_each(answers: Iterable[Answer]) -> list[Answer]:
    """Without duplicates: each command's own answer, once, in order."""
    return list(dict.fromkeys(one for one in answers if not one.duplicate))


def demand_balances(site: Site, load: Load) -> None:
    """Every account has what a naive ledger says, and as much of it frozen."""
    found = {one[0]: one[1:] for one in site.rows("SELECT account, credit, frozen FROM account WHERE id > 0")}
    expected = {
        account: (credit, one.frozen(account))
        for one in load.producers
        for account, credit in one.credit.items()
    }
    assert found == expected


def demand_sound_books(site: Site) -> None:
    """Sums and versions by plain SQL, and the ledger's own verification."""
    assert site.rows("SELECT transaction, unit FROM entry GROUP BY 1, 2 HAVING sum(amount) <> 0") == []
    assert (
        site.rows(
            "SELECT a.account, a.credit, sum(e.amount), max(e.version), count(e.*) FROM account a "
            "LEFT JOIN entry e ON e.account = a.id WHERE a.id > 0 GROUP BY a.id "
            "HAVING a.credit <> coalesce(sum(e.amount), 0) OR a.version <> count(e.*) "
            "OR a.version <> coalesce(max(e.version), 0)"
        )
        == []
    )
    assert site.rows("SELECT type, count(*) FROM dead_letter_group WHERE reason = 'crashed' GROUP BY 1") == []
    with connect(site.database_url, name="test") as connection:
        verified = verify(connection)
    assert verified.differences == []


def _missing(site: Site, load: Load, listener: Listener) -> str:
    lines = [
        f"{one.name}: {listener.count(one.name)} outcomes for {len(one.expected)} commands"
        for one in load.producers
    ]
    return "\n".join([*lines, site.logs()])
