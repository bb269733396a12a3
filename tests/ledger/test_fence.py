"""Who may write: position and postings stand or fall together, and what is posted stays."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from ledger.batch import Batch, Move
from ledger.errors import FenceLost
from ledger.handle import handle
from tests.builders import enterprise, onboarding, top_up
from tests.desk import LedgerDesk, body_of

Open = Callable[..., LedgerDesk]


def state(desk: LedgerDesk) -> list[object]:
    """Everything a batch could have changed."""
    return [
        desk.all(query)
        for query in (
            "SELECT account, credit, version FROM account ORDER BY id",
            "SELECT source, id FROM command ORDER BY 1, 2",
            "SELECT stream, position FROM position ORDER BY 1",
            "SELECT id FROM batch ORDER BY 1",
            "SELECT id FROM outbox ORDER BY 1",
            "SELECT id, count FROM dead_letter ORDER BY 1",
            "SELECT id, epoch, crashed_in_a_row FROM partition ORDER BY 1",
        )
    ]


def test_whose_epoch_is_stale_can_change_nothing(open_desk: Open) -> None:
    paused = open_desk(partition=0)
    paused.do(enterprise())
    standby = open_desk(partition=0)
    before = state(standby)
    with pytest.raises(FenceLost):
        paused.deliver(body_of(top_up(amount=5)), b"garbage")
    assert state(standby) == before
    assert standby.refused(top_up(amount=7)) is None
    assert standby.credit("acme") == 7


def test_an_epoch_of_the_future_is_as_wrong_as_one_of_the_past(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    desk.epoch += 1
    with pytest.raises(FenceLost):
        desk.send(top_up(amount=5))


def test_a_partition_that_does_not_exist_can_be_moved_by_nobody(desk: LedgerDesk) -> None:
    desk.partition = 77
    with pytest.raises(FenceLost):
        desk.send(enterprise())


@pytest.mark.parametrize("before", ["0-0", "1-0", "3-0"])
def test_a_position_moves_only_from_where_it_stands(desk: LedgerDesk, before: str) -> None:
    desk.do(enterprise(), top_up(amount=1))
    earlier = state(desk)
    batch = desk.batch(body_of(top_up(amount=5)))
    moved = Batch(batch.partition, batch.epoch, [Move(desk.stream, before, "9-0")], batch.deliveries)
    with pytest.raises(FenceLost):
        handle(desk.connection, moved, desk.now)
    desk.connection.rollback()
    assert state(desk) == earlier


def test_the_same_deliveries_again_are_refused_as_a_whole(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    batch = desk.batch(body_of(top_up(amount=5)))
    handle(desk.connection, batch, desk.now)
    desk.connection.commit()
    with pytest.raises(FenceLost):
        handle(desk.connection, batch, desk.now)
    desk.connection.rollback()
    assert desk.credit("acme") == 5


def test_what_is_rolled_back_has_not_moved_the_position_either(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    before = state(desk)
    handle(desk.connection, desk.batch(body_of(top_up(amount=5))), desk.now)
    desk.connection.rollback()
    assert state(desk) == before
    assert desk.refused(top_up(amount=5)) is None


def test_several_streams_move_together(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    batch = desk.batch(body_of(top_up(amount=5)))
    both = [*batch.moves, Move("coins:commands:0:another", "0-0", "8-0")]
    handle(desk.connection, Batch(0, desk.epoch, both, batch.deliveries), desk.now)
    desk.connection.commit()
    positions = dict(desk.all("SELECT stream, position FROM position"))
    assert positions == {desk.stream: "2-0", "coins:commands:0:another": "8-0"}


def test_a_batch_renews_the_lease(desk: LedgerDesk) -> None:
    desk.all("UPDATE partition SET lease_until = clock_timestamp() - interval '1 second' WHERE id = 0")
    desk.do(enterprise())
    assert desk.one("SELECT lease_until > clock_timestamp() FROM partition WHERE id = 0") == (True,)


@pytest.mark.parametrize("table", ["transaction", "entry", "command"])
def test_what_is_posted_can_be_neither_changed_nor_removed(desk: LedgerDesk, table: str) -> None:
    desk.do(enterprise(), top_up(amount=5), onboarding("acme", "d"))
    before = state(desk)
    for statement in (
        f"UPDATE {table} SET transaction = 1"
        if table != "transaction"
        else "UPDATE transaction SET note = 'x'",
        f"UPDATE {table} SET {'id' if table == 'transaction' else 'transaction'} = 1 WHERE false",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        refused(desk, statement)
    assert state(desk) == before


def refused(desk: LedgerDesk, statement: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        desk.all(statement)
    desk.connection.rollback()


def test_a_key_cannot_be_changed_by_way_of_its_partition(desk: LedgerDesk) -> None:
    desk.do(enterprise())
    (name,) = desk.one("SELECT tableoid::regclass::text FROM command")
    for statement in (f"UPDATE {name} SET reason = 'x'", f"DELETE FROM {name}", f"TRUNCATE {name}"):
        refused(desk, statement)


def test_two_entries_of_one_version_of_an_account_cannot_be_committed(desk: LedgerDesk) -> None:
    desk.do(enterprise(), top_up(amount=5))
    with pytest.raises(psycopg.errors.UniqueViolation):
        desk.all(
            "INSERT INTO entry (transaction, account, unit, amount, balance, version, top, type, time) "
            "SELECT transaction, account, unit, amount, balance, version, top, type, time FROM entry WHERE account > 0"
        )
    desk.connection.rollback()


def test_an_account_cannot_be_what_no_account_may_be(desk: LedgerDesk) -> None:
    desk.do(enterprise(), top_up(amount=5))
    for values in (
        "frozen = -1",
        "credit_limit = -1",
        "funding = 'shared'",
        "state = 'closed'",
        "funding = 'sponsored', credit_limit = 1",
        "state = 'gone'",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            desk.all(f"UPDATE account SET {values} WHERE account = 'acme'")
        desk.connection.rollback()
