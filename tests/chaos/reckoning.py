"""At the end of every trouble: was each command answered once, in order, was it applied once, do the books agree?"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ledger.database import connect
from ledger.verify import verify
from messages.streams import COMMANDS, commands_queue
from tests.chaos.load import Load, ProducerLoad
from tests.rabbitmq import looked_at
from tests.system.listening import Answer, Listener
from tests.system.site import Program, Site, until

DRAINED_SECONDS = 40.0
REST_SECONDS = 90.0  # a run of a job whose worker froze is taken over after fifteen


def demand_all_is_well(
    site: Site,
    load: Load,
    listener: Listener,
    *,
    within_seconds: float = DRAINED_SECONDS,
    logs: Callable[[], str] | None = None,
    faults: int = 1,
) -> None:
    """Wait until everything is answered, then demand all of it. Where the load had to send again, repeats are allowed.

    faults: how many there were. After each RabbitMQ may deliver once more what was committed and not acknowledged yet: it is
    answered as the duplicate that it is then, and nothing else comes twice.
    """
    load.stop()
    began = time.monotonic()
    said = logs or site.logs
    redeliveries = faults if site.rabbitmq_url else 0
    repeated = load.repeated or redeliveries > 0
    until(
        lambda: _all_answered(load, listener, repeated),
        within_seconds,
        lambda: _missing(load, listener, said),
    )
    print(f"{load.size} outcomes, the last {time.monotonic() - began:.1f} s after the last command")  # noqa: T201
    time.sleep(0.2)
    for event, bodies in listener.by_event().items():
        assert len(bodies) == 1, f"event {event} was published with different contents: {bodies}"
    for producer in load.producers:
        _demand_order(producer, listener, repeated)
        if not load.repeated:
            _demand_few_repeats(producer, listener, redeliveries)
    demand_balances(site, load)
    demand_sound_books(site)


def _all_answered(load: Load, listener: Listener, repeated: bool) -> bool:
    if not repeated:
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


def _demand_few_repeats(producer: ProducerLoad, listener: Listener, redeliveries: int) -> None:
    """No command was answered more often than it was delivered."""
    sent = Counter(one.id for one in producer.expected)
    answered = Counter(one.answer.id for one in listener.of(producer.name))
    many = {id_: count for id_, count in answered.items() if count > sent[id_] * (1 + redeliveries)}
    assert many == {}, f"{producer.name}: answered more often than after {redeliveries} redeliveries"
    print(f"{producer.name}: {answered.total() - sent.total()} answers to what was delivered again")  # noqa: T201


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


def demand_one_outcome_each(site: Site, load: Load, listener: Listener) -> None:
    """Every key was decided once and always answered alike; devices are where they should be; no garbage is lost."""
    stored = Counter(site.rows("SELECT source, id FROM command"))
    keys = {(one.name, id_) for one in load.producers for id_ in one.keys}
    assert set(stored) == keys, f"too many {set(stored) - keys}, missing {keys - set(stored)}"
    assert set(stored.values()) == {1}
    said: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in list(listener.heard):
        if one.answer.reason not in ("idempotency_conflict", "invalid_message"):
            lasting = {name: value for name, value in one.data.items() if name != "duplicate"}
            if lasting not in (known := said[one.producer, one.answer.id]):
                known.append(lasting)
    assert set(said) == keys, f"not answered: {keys - set(said)}"
    assert {key: answers for key, answers in said.items() if len(answers) > 1} == {}
    demand_devices(site, load)
    demand_garbage_is_kept(site, load)


def demand_devices(site: Site, load: Load) -> None:
    """Active under the account that paid for them, and no others."""
    found = dict(
        site.rows("SELECT d.device, a.account FROM device d LEFT JOIN account a ON a.id = d.account")
    )
    expected = {device: one.own[1] for one in load.producers for device in one.devices}
    expected |= {device: one.customer for one in load.producers for device in one.customer_devices}
    assert found == expected


def demand_garbage_is_kept(site: Site, load: Load) -> None:
    """What was sent and could not be read lies among the dead letters, counted: as often as it was sent, or sent again."""
    sent = sum((one.garbage for one in load.producers), Counter[bytes]())
    kept = {
        bytes(raw): count
        for raw, count in site.rows(
            "SELECT l.raw, sum(l.count) FROM dead_letter l JOIN dead_letter_group g ON g.id = l.group_id "
            "WHERE g.reason = 'unreadable' GROUP BY 1"
        )
    }
    assert set(kept) == set(sent)
    assert all(kept[raw] >= count for raw, count in sent.items()), (kept, sent)
    if not load.repeated and site.rabbitmq_url is None:
        assert kept == sent


def demand_everything_came_to_rest(
    site: Site, load: Load, alive: Sequence[Program], logs: Callable[[], str]
) -> None:
    """Nothing is left in the outbox or on the streams, no lease is stuck, every receipt was written, in a row."""
    pids = {one.pid for one in alive}

    def stuck() -> list[str]:
        left = [f"{n} in {name}" for name, n in site.rows(_LEFT) if n]
        owned = [site.owner_of(0), site.owner_of(1), site.relaying()]
        left += [f"owned by nobody who lives: {one}" for one in owned if one is None or one.pid not in pids]
        return left + [f"{n} entries left in {key!r}" for key, n in _unread(site).items() if n]

    until(lambda: not stuck(), REST_SECONDS, lambda: "\n".join([*stuck(), logs()]))
    ahead = "SELECT job, at FROM job_run WHERE at > clock_timestamp() + interval '2 minutes'"
    assert site.rows(ahead) == [], "by a clock that was ahead of the database's"
    gaps = "SELECT top, year FROM receipt GROUP BY 1, 2 HAVING count(*) <> max(seq) OR min(seq) <> 1"
    assert site.rows(gaps) == []
    assert site.value("SELECT count(*) FROM receipt") == sum(one.receipts for one in load.producers)


def _unread(site: Site) -> dict[Any, int]:
    """How many commands stand in each stream or queue."""
    if site.rabbitmq_url is not None:
        names = [
            commands_queue(one, name) for one in range(site.partitions) for name in (None, "coins", "cli")
        ]
        return {name: one.messages for name, one in looked_at(site.rabbitmq_url, *names).items()}
    with site.edge() as edge:
        return {key: edge.xlen(key) for key in edge.scan_iter(match=f"{COMMANDS}*", _type="stream")}


_LEFT = """
SELECT 'outbox', count(*) FROM outbox
UNION ALL SELECT 'receipt_due', count(*) FROM receipt_due
UNION ALL SELECT 'partitions that are stopped', count(*) FROM partition WHERE stopped_at IS NOT NULL
UNION ALL SELECT 'exports', count(*) FROM export WHERE state IN ('requested', 'running') AND why IS NULL
UNION ALL SELECT 'runs under a lease that ran out', count(*) FROM job_run
  WHERE state = 'running' AND lease_until < clock_timestamp() - interval '20 seconds'
UNION ALL SELECT 'runs that failed: ' || job, count(*) FROM job_run WHERE state = 'failed' GROUP BY job"""


def demand_exports(site: Site, load: Load) -> None:
    """Each that was asked for is whole, or waits its five minutes after a disk that was full."""
    files = site.directory / "data" / "files"
    found = {one[0]: one[1:] for one in site.rows("SELECT export, state, path, sha256, why FROM export")}
    asked = {id_ for one in load.producers for id_ in one.exports}
    assert {export for export in found if not export.startswith("nightly/")} == asked
    for export, (state, path, sha256, why) in found.items():
        if state == "ready" and path is not None:
            assert hashlib.sha256((files / path).read_bytes()).hexdigest() == sha256, export
        else:
            assert state == "ready" or "No space left" in (why or ""), (export, state, why)


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


def _missing(load: Load, listener: Listener, logs: Callable[[], str]) -> str:
    lines = [
        f"{one.name}: {listener.count(one.name)} outcomes for {len(one.expected)} commands"
        for one in load.producers
    ]
    return "\n".join([*lines, logs()])
