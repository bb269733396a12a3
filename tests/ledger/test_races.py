"""Several writers at once on one ledger: whoever is slower finds what the faster one has left, and nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from ledger.handle import handle
from messages.publisher import event
from messages.reasons import Reason
from tests.builders import (
    branch,
    closing,
    department,
    enterprise,
    funding,
    limit,
    onboarding,
    refund,
    release,
    renewal,
    reversal,
    suspend,
    top_up,
    transfer,
)
from tests.desk import LedgerDesk, Said, body_of

Open = Callable[..., LedgerDesk]
WAIT_SECONDS = 0.3


@pytest.fixture
def desks(open_desk: Open) -> tuple[LedgerDesk, LedgerDesk]:
    first, second = open_desk(), open_desk()
    first.do(
        enterprise(),
        branch("north"),
        branch("west"),
        department("dept", "north"),
        top_up("acme", 100),
        top_up("north", 100),
    )
    return first, second


@contextmanager
def uncommitted(desk: LedgerDesk, *commands: Any) -> Iterator[None]:
    """The commands are handled and hold their locks; they are committed at the end."""
    batch = desk.batch(*(body_of(command) for command in commands))
    handle(desk.connection, batch, desk.now)
    yield
    desk.connection.commit()
    desk.read += len(commands)


def while_open(first: LedgerDesk, held: list[Any], second: LedgerDesk, asked: list[Any]) -> list[Said]:
    """What `asked` is answered when it begins before `held` is committed, and ends after it."""
    with ThreadPoolExecutor(1) as pool:
        with uncommitted(first, *held):
            answer: Future[list[Said]] = pool.submit(second.send, *asked)
            _wait_for_lock(second, answer)
        return answer.result(30)


def _wait_for_lock(second: LedgerDesk, answer: Future[Any]) -> None:
    time.sleep(WAIT_SECONDS)
    assert not answer.done(), "nobody had to wait, so that nothing is shown here"
    assert second.connection.info.transaction_status.name == "ACTIVE"


def reasons(said: list[Said]) -> list[Reason | None]:
    return [one.data.reason for one in said]


def keyed(command: Any, id_: str = "same") -> Any:
    return event(command, source="tests", id=id_)


def test_the_same_key_from_two_writers_is_applied_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [keyed(top_up("acme", 5))], second, [keyed(top_up("acme", 5))])
    assert reasons(said) == [None]
    assert said[0].data.duplicate
    assert first.credit("acme") == 105


def test_the_same_key_with_two_contents_is_a_conflict_for_the_slower_one(
    desks: tuple[LedgerDesk, LedgerDesk],
) -> None:
    first, second = desks
    said = while_open(first, [keyed(enterprise("one"))], second, [keyed(enterprise("two"))])
    assert reasons(said) == [Reason.IDEMPOTENCY_CONFLICT]
    assert second.races == 1


def test_the_same_new_account_is_opened_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [enterprise("beta")], second, [enterprise("beta")])
    assert reasons(said) == [Reason.ACCOUNT_EXISTS]


def test_the_same_new_device_is_onboarded_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [onboarding("acme", "d")], second, [onboarding("north", "d")])
    assert reasons(said) == [Reason.DEVICE_ALREADY_ONBOARDED]
    assert (first.credit("acme"), first.credit("north")) == (99, 100)


def test_the_same_released_device_is_onboarded_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    first.do(onboarding("acme", "d"), release("acme", "d"))
    said = while_open(first, [onboarding("acme", "d")], second, [onboarding("north", "d")])
    assert reasons(said) == [Reason.DEVICE_ALREADY_ONBOARDED]


def test_the_same_new_reference_is_recharged_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(
        first, [top_up("acme", 5, reference="W1")], second, [top_up("north", 5, reference="W1")]
    )
    assert reasons(said) == [Reason.DUPLICATE_REFERENCE]


def test_a_reference_that_was_set_free_is_recharged_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    first.do(reversal(first.do(top_up("acme", 5, reference="W1"))))
    said = while_open(
        first, [top_up("acme", 5, reference="W1")], second, [top_up("north", 5, reference="W1")]
    )
    assert reasons(said) == [Reason.DUPLICATE_REFERENCE]


def test_a_charge_is_refunded_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    charge = first.do(onboarding("acme", "d", price=10))
    said = while_open(first, [refund(charge, 6)], second, [refund(charge, 6)])
    assert reasons(said) == [Reason.REFUND_EXCEEDS_CHARGE]
    assert first.credit("acme") == 96


def test_a_recharge_is_taken_back_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    recharge = first.do(top_up("acme", 10))
    said = while_open(first, [reversal(recharge)], second, [reversal(recharge)])
    assert reasons(said) == [Reason.NOT_REFUNDABLE]
    assert first.credit("acme") == 100


def test_the_last_coins_are_spent_once(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(
        first, [onboarding("north", "d", price=80)], second, [onboarding("dept", "e", price=80)]
    )
    assert reasons(said) == [Reason.MASTER_INSUFFICIENT_CREDIT]


def test_what_is_bought_waits_for_a_suspension(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [suspend("north")], second, [onboarding("dept", "e")])
    assert reasons(said) == [Reason.ACCOUNT_SUSPENDED]


def test_who_begins_to_draw_on_another_master_takes_its_coins(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    first.do(transfer("north", "acme", 100, ordered_by="acme"))
    said = while_open(first, [funding("north", "shared")], second, [onboarding("dept", "e", price=150)])
    assert reasons(said) == [None]
    assert first.credit("acme") == 50


def test_a_child_opened_meanwhile_keeps_its_parent_open(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [branch("child", "west")], second, [closing("west")])
    assert reasons(said) == [Reason.ACCOUNT_IN_USE]


def test_no_child_is_opened_under_an_account_closed_meanwhile(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [closing("west")], second, [branch("child", "west")])
    assert reasons(said) == [Reason.ACCOUNT_CLOSED]


def test_a_department_opened_meanwhile_follows_its_masters_change_of_funding(
    desks: tuple[LedgerDesk, LedgerDesk],
) -> None:
    first, second = desks
    said = while_open(first, [department("child", "west")], second, [funding("west", "shared")])
    assert reasons(said) == [None]
    assert first.account("child")["draws_from"] == "acme"
    assert first.refused(onboarding("child", "c")) is None


def test_a_department_opened_after_a_change_of_funding_draws_on_the_new_master(
    desks: tuple[LedgerDesk, LedgerDesk],
) -> None:
    first, second = desks
    said = while_open(
        first, [funding("west", "shared")], second, [department("child", "west"), onboarding("child", "c")]
    )
    assert reasons(said) == [None, None]
    assert first.account("child")["draws_from"] == "acme"


def test_a_device_onboarded_meanwhile_is_released_with_its_account(
    desks: tuple[LedgerDesk, LedgerDesk],
) -> None:
    first, second = desks
    first.do(top_up("west", 1))
    said = while_open(first, [onboarding("west", "d")], second, [closing("west")])
    assert reasons(said) == [None]
    assert first.devices()["d"][0] is None


def test_a_release_and_a_renewal_of_one_device_do_not_both_win(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    first.do(onboarding("acme", "d"))
    said = while_open(first, [release("acme", "d")], second, [renewal("acme", "d")])
    assert reasons(said) == [Reason.DEVICE_NOT_FOUND]


def test_a_limit_set_meanwhile_counts(desks: tuple[LedgerDesk, LedgerDesk]) -> None:
    first, second = desks
    said = while_open(first, [limit("acme", 50)], second, [onboarding("acme", "d", price=150)])
    assert reasons(said) == [None]


def test_opposite_transfers_never_block_each_other_for_good(open_desk: Open) -> None:
    # Given two accounts, and two writers that move coins between them in opposite directions
    first, second = open_desk(), open_desk()
    first.do(enterprise(), branch("a"), branch("b"), top_up("a", 500), top_up("b", 500))
    failed: list[BaseException] = []

    def move(desk: LedgerDesk, source: str, target: str) -> None:
        try:
            for _ in range(100):
                said = desk.send(*(transfer(source, target, 1, ordered_by="acme") for _ in range(5)))
                assert reasons(said) == [None] * 5
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    # When both are at it at once
    threads = [
        threading.Thread(target=move, args=arguments) for arguments in ((first, "a", "b"), (second, "b", "a"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    # Then both come to an end, and nothing is lost
    assert failed == []
    assert (first.credit("a"), first.credit("b")) == (500, 500)
    assert first.account("a")["version"] == 1 + 1000
    sums = first.all("SELECT account, sum(amount) FROM entry WHERE account > 0 GROUP BY account")
    assert [total for _, total in sums] == [500, 500]
    balances = [line["balance"] for line in first.lines() if line["account"] == "a"]
    amounts = [line["amount"] for line in first.lines() if line["account"] == "a"]
    assert all(
        after == before + amount
        for before, after, amount in zip(balances, balances[1:], amounts[1:], strict=False)
    )


def test_many_writers_of_one_account_do_not_lose_a_coin(open_desk: Open) -> None:
    desks = [open_desk() for _ in range(4)]
    desks[0].do(enterprise(), limit("acme", 0))
    with ThreadPoolExecutor(len(desks)) as pool:
        jobs = [
            pool.submit(
                lambda desk=desk, number=number: [
                    desk.send(*(keyed(top_up("acme", 1), f"{batch}-{n}") for n in range(8)))
                    for batch in range(number, number + 12)
                ]
            )  # type: ignore[misc]
            for number, desk in enumerate(desks)
        ]
        for job in jobs:
            job.result(60)
    # Every writer sends twelve batches, each but the first with keys that others send as well.
    assert desks[0].credit("acme") == (12 + 3) * 8
    assert desks[0].account("acme")["version"] == (12 + 3) * 8
