"""The nightly verification: what agrees is counted, what does not is told, and is a matter for people at once."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from ledger.verify import verify
from tests import builders as a
from tests.conftest import EMBEDDED
from tests.desk import LedgerDesk
from tests.workers.jobs.clockwork import Clockwork
from workers.jobs import rows
from workers.jobs.performing import perform
from workers.jobs.receipts import issue_receipts
from workers.jobs.run import RunFailed
from workers.jobs.verification import verify_ledger

# On one server: nothing here asks much of it.
pytestmark = pytest.mark.parametrize("database_server", [EMBEDDED], indirect=True, scope="session")

JOB = "verification"
AT = datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
TAMPERED = (
    "SET session_replication_role = replica",
    "UPDATE account SET credit = credit + 1 WHERE account = 'acme'",
    "UPDATE receipt SET amount = amount + 1, number = 'none'",
    "SET session_replication_role = origin",
)


@pytest.fixture
def acme(desk: LedgerDesk, clockwork: Clockwork) -> LedgerDesk:
    """Some postings, and a receipt."""
    desk.do(a.enterprise(), a.branch(), a.top_up(), a.transfer(), a.onboarding())
    clockwork.run(issue_receipts)
    return desk


def tamper(desk: LedgerDesk) -> None:
    """What only somebody can do who is above the triggers."""
    for statement in TAMPERED:
        desk.all(statement)


def performed(clockwork: Clockwork) -> int:
    """The run of a night, as a worker performs it; its number."""
    id_ = rows.ask(clockwork.connection, JOB, AT, "tests")
    perform(id_, {JOB: verify_ledger}, clockwork.settings, owner="tests")
    return id_


def test_a_ledger_that_agrees_with_itself_is_done(acme: LedgerDesk, clockwork: Clockwork) -> None:
    id_ = performed(clockwork)
    state, result, error = acme.one("SELECT state, result, error FROM job_run WHERE id = %s", id_)
    assert (state, error) == ("done", None)
    assert "rows agree" in result
    assert (acme.all("SELECT FROM job_item WHERE run = %s", id_), acme.letters()) == ([], [])


def test_what_does_not_agree_fails_the_run_at_once_item_by_item_with_a_dead_letter(
    acme: LedgerDesk, clockwork: Clockwork
) -> None:
    tamper(acme)
    id_ = performed(clockwork)
    state, tries, result = acme.one("SELECT state, tries, result FROM job_run WHERE id = %s", id_)
    assert (state, tries) == ("failed", 1)
    found = verify(clockwork.connection).differences
    assert f"RunFailed: {len(found)} differences" in result
    told: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        told[f"{one.check}: {one.where}"].append(f"expected {one.expected}, found {one.found}")
    items = acme.all("SELECT item, outcome, detail FROM job_item WHERE run = %s", id_)
    assert {item: detail for item, _, detail in items} == {item: "; ".join(of) for item, of in told.items()}
    assert {outcome for _, outcome, _ in items} == {"failed"}
    assert len(told["receipts: receipt none"]) == 2
    (letter,) = acme.letters()
    assert (letter["reason"], letter["state"], letter["stream"]) == ("gave up", "waiting", f"job:{JOB}")
    assert json.loads(bytes(letter["raw"])) == {"job": JOB, "at": "2026-03-02T02:30:00+00:00", "run": id_}


def test_each_night_that_finds_it_is_a_letter_of_its_own(acme: LedgerDesk, clockwork: Clockwork) -> None:
    tamper(acme)
    first, second = performed(clockwork), performed(clockwork)
    assert [letter["position"] for letter in acme.letters()] == [str(first), str(second)]


def test_a_dry_run_tells_the_same(acme: LedgerDesk, clockwork: Clockwork) -> None:
    tamper(acme)
    with pytest.raises(RunFailed, match="differences; `coins verify` shows them"):
        clockwork.run(verify_ledger, dry_run=True)
    assert acme.letters() == []
