"""A batch whose commands want very many rows is decided in parts, all in one transaction."""

from __future__ import annotations

import pytest

from ledger import snapshot
from tests.builders import MONTHLY, enterprise, next_cycle, onboarding, plan, subscribe_devices, top_up
from tests.desk import LedgerDesk, array_of


def test_what_wants_too_many_rows_is_divided(desk: LedgerDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given subscriptions for ten devices each, and room for 25 rows at once
    subscriptions = [f"s{number}" for number in range(8)]
    devices = {id_: [f"{id_}-{number}" for number in range(10)] for id_ in subscriptions}
    desk.do(enterprise(), top_up("acme", 10_000), plan("again", "renewal", price=1, cycle=MONTHLY))
    for id_ in subscriptions:
        desk.do(onboarding("acme", *devices[id_]), subscribe_devices(*devices[id_], id_=id_))
    monkeypatch.setattr(snapshot, "MAX_ROWS", 25)
    before = desk.credit("acme")
    # When all of them are renewed by one message, one of them twice
    said = desk.deliver(array_of(*(next_cycle(id_) for id_ in subscriptions), next_cycle("s0", cycle_no=2)))
    # Then each is paid once, in order, in one batch
    assert [one.data.reason for one in said] == [None] * 8 + ["already_renewed"]
    assert desk.credit("acme") == before - 80
    assert len(desk.all("SELECT 1 FROM batch WHERE id = (SELECT max(batch) FROM command)")) == 1
    assert {number for (number,) in desk.all("SELECT paid_cycles FROM subscription")} == {2}


def test_one_command_may_want_as_many_rows_as_it_likes(
    desk: LedgerDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MAX_ROWS", 3)
    desk.do(enterprise(), top_up("acme", 100), onboarding("acme", *(f"d{number}" for number in range(20))))
    assert desk.credit("acme") == 80
