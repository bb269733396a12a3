"""The verbs that read what is sold: orders, subscriptions, allotments, holds, bills, and what was put beside them."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ledger.billing import issue
from tests import builders as a
from tests.console.running import Coins, coins_with, document
from tests.desk import LedgerDesk

FIELDS = {
    "orders": "order number kind product account status amount refunded method payer phone created_at paid_at",
    "subscriptions": "subscription kind plan account user status payment_method cycle created_at start_at "
    "next_payment_at price goods",
    "allocations": "time number reseller customer type amount balance note actor",
    "holds acme": "hold resource account purpose coefficient frozen remaining since expires_at release",
    "bills": "bill account period charged refunded total status confirmed_by confirmed_at",
    "payment-methods": "country methods",
    "warnings": "warning account set_by amount percent emails set_at fired_at",
    "exports": "export account report filters format state requested_at ready_at rows bytes sha256 path why",
}


@pytest.fixture(scope="module")
def coins(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Coins:
    """The command line on a ledger with two or more of everything that is listed."""
    desk = LedgerDesk(module_database_url, now=datetime(2026, 2, 27, 16, 30, tzinfo=UTC))
    desk.do(a.enterprise(timezone="Asia/Shanghai"), a.department(), a.top_up("acme", 100_000))
    desk.do(a.reseller(), a.sponsored_customer(), a.top_up("shop", 1_000))
    desk.ask(a.grant("carl", 500, note="Q1"), actor="li.na")
    desk.do(a.grant("carl", -20), a.methods("CN", "wechat", "alipay"), a.methods("DE", "sepa"))
    desk.do(a.plan("pro", "package", price=1_234, cycle=a.MONTHLY), a.subscribe(goods=["seat"]))
    desk.do(a.subscribe("s2", "dept"), a.next_cycle("s2", "dept"), a.cancel("s2"))
    desk.do(a.order("o1", details={"region": "eu"}), a.order("o2", "dept", pay="later", product="Basic"))
    desk.do(a.refund_of_order("o1", 4), a.order("o3", "carl"))
    desk.do(a.plan("farm", "postpaid", name="Render farm"), a.hold(amount=2_000, purpose="deposit"))
    desk.do(a.activation("r1", "dept", 30, plan="farm", coefficient="1.5"))
    desk.do(a.warning(percent=25, emails=["fin@acme.example"]), a.warning("w2", "dept"))
    desk.do(a.export(filters={"type": ["transfer"]}), a.export("e2", "dept", report="orders", format="csv"))
    for month in (2, 3):
        desk.later(days=31)
        issue(desk.connection, "carl", date(2026, month, 1), desk.now)
        desk.connection.commit()
        desk.do(a.order(f"o-{month}", "carl"))
    # A phone runs since two and a half minutes ago, by the clock of whoever looks
    up_at = datetime.now(UTC) - timedelta(minutes=2, seconds=30)
    desk.do(a.power_on("run", phone="p-9", rate="100", at=up_at))
    desk.close()
    return coins_with(
        {
            "PATH": os.environ["PATH"],
            "COINS_DATABASE_URL": module_database_url,
            "COINS_REDIS_URL": "redis://127.0.0.1:1/0",
            "COINS_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        }
    )


@pytest.mark.parametrize("verb", FIELDS)
def test_every_list_has_its_fields_and_pages_in_every_form(coins: Coins, verb: str) -> None:
    whole = document(coins(*verb.split(), "--json"))
    assert len(whole["rows"]) > 1
    assert {tuple(row) for row in whole["rows"]} == {tuple(FIELDS[verb].split())}
    assert whole["next"] is None

    first = document(coins(*verb.split(), "--limit", "1", "--json"))
    rest = coins(*verb.split(), "--after", first["next"], "--ndjson")
    assert first["rows"] + [json.loads(line) for line in rest.stdout.splitlines()] == whole["rows"]

    person = coins(*verb.split())
    assert person.returncode == 0
    titles, *shown = person.stdout.splitlines()
    assert all(name.replace("_", " ") in titles for name in FIELDS[verb].split())
    assert len(shown) == len(whole["rows"])


@pytest.mark.parametrize(
    ("arguments", "field", "expected"),
    [
        (
            ["orders", "--account", "carl", "--account", "dept", "--kind", "package", "--search", "asic"],
            0,
            ["o2"],
        ),
        (["orders", "--status", "pending_payment", "--product", "Basic"], 0, ["o2"]),
        (["orders", "--phone", "p-9", "--kind", "phone", "--kind", "proxy"], 0, ["run"]),
        (["orders", "--account", "carl", "--from", "2026-03-01", "--to", "2026-03-31"], 0, ["o-2"]),
        (["subscriptions", "--account", "dept", "--status", "canceled"], 0, ["s2"]),
        (
            ["subscriptions", "--payment-method", "balance", "--kind", "package", "--search", "SEAT"],
            0,
            ["s1"],
        ),
        (["allocations", "--reseller", "shop", "--customer", "carl", "--search", "q1"], 5, [500]),
        (["allocations", "--from", "2026-02-27", "--to", "2026-02-27"], 5, [-20, 500]),
        (["holds", "acme", "--search", "DEPOSIT"], 0, ["h1"]),
        (["bills", "--account", "carl", "--status", "issued", "--to", "2026-02-28"], 0, ["carl.2026-02"]),
        (["bills", "--from", "2026-03-01", "--search", "carl"], 0, ["carl.2026-03"]),
        (["payment-methods", "--search", "ALIPAY"], 0, ["CN"]),
        (["warnings", "--account", "dept"], 0, ["w2"]),
        (["exports", "--account", "acme", "--search", "statement"], 0, ["e1"]),
    ],
)
def test_lists_are_chosen_by_flags(
    coins: Coins, arguments: list[str], field: int, expected: list[Any]
) -> None:
    found = document(coins(*arguments, "--json"))

    assert [list(row.values())[field] for row in found["rows"]] == expected


def test_dates_and_times_are_those_of_the_account_where_one_is_given(coins: Coins) -> None:
    # 16:30 UTC is the next day in Shanghai
    one = document(coins("orders", "--account", "acme", "--to", "2026-02-27", "--json"))
    all_ = document(coins("orders", "--to", "2026-02-27", "--json"))
    assert (one["timezone"], one["rows"]) == ("Asia/Shanghai", [])
    assert all_["timezone"] == "UTC"
    assert {row["order"] for row in all_["rows"]} == {"o1", "o2", "o3", "s1/1", "s2/1", "s2/2"}

    person = coins("orders", "--account", "acme", "--search", "Pro")
    assert "2026-02-28 00:30:00" in person.stdout
    assert person.stderr == "times in Asia/Shanghai\n"


def test_an_order_is_told_in_full(coins: Coins) -> None:
    found = document(coins("order", "o1", "--json"))
    assert (found["details"], found["quantity"], found["refunded"]) == ({"region": "eu"}, 1, 4)
    assert (found["receipt"], found["running_fee"], found["created_at"]) == (
        None,
        None,
        "2026-02-27T16:30:00Z",
    )
    assert document(coins("order", "s2/2", "--ndjson"))["amount"] == 1_234

    person = coins("order", "o1", COINS_SCALE="2")
    assert '{"region": "eu"}' in person.stdout
    assert "amount         0.10" in person.stdout.splitlines()
    assert "created at     2026-02-28 00:30:00" in person.stdout.splitlines()
    assert person.stderr == "times in Asia/Shanghai\n"


def test_a_running_phone_is_told_with_its_fee_so_far(coins: Coins) -> None:
    found = document(coins("order", "run", "--json"))

    assert (found["status"], found["rate"], found["power_down_at"]) == ("running", "100", None)
    assert found["minutes"] >= 3
    assert found["running_fee"] == found["minutes"] * 100


def test_a_subscription_is_told_with_its_cycles(coins: Coins) -> None:
    found = document(coins("subscription", "s2", "--json"))
    assert (found["status"], found["cycle"]) == ("canceled", {"unit": "month", "count": 1})
    assert [(one["cycle_no"], one["amount"]) for one in found["cycles"]] == [(1, 1_234), (2, 1_234)]
    assert found["cycles"][0]["ends_at"] == found["cycles"][1]["begins_at"]

    person = coins("subscription", "s1", COINS_SCALE="2")
    assert "cycle            1 month" in person.stdout.splitlines()
    assert "12.34" in person.stdout
    assert "cycle no" in person.stdout
    assert person.stderr == "times in Asia/Shanghai\n"


def test_what_is_frozen_is_told_with_its_sum(coins: Coins) -> None:
    found = document(coins("holds", "acme", "--json"))
    assert found["remaining"] == document(coins("balance", "acme", "--json"))["frozen"] == 2_045
    assert (found["account"], found["timezone"]) == ("acme", "Asia/Shanghai")
    assert {row["release"] for row in found["rows"]} == {
        "coins do ReleaseHold hold=h1",
        "coins do TerminatePostpaid resource=r1",
    }

    person = coins("holds", "dept")
    assert "Render farm" in person.stdout
    assert person.stderr == "45 frozen in all; times in UTC\n"


def test_a_bill_is_told_with_its_lines(coins: Coins) -> None:
    found = document(coins("bill", "carl.2026-02", "--json"))
    assert (found["charged"], found["total"], found["status"]) == (10, 10, "issued")
    assert [(line["type"], line["item"], line["amount"]) for line in found["lines"]] == [("order", "Pro", 10)]

    person = coins("bill", "carl.2026-02")
    assert "carl.2026-02" in person.stdout
    assert found["lines"][0]["number"] in person.stdout
    assert person.stderr == "times in UTC\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["order", "none"], 1, "no order 'none'"),
        (["subscription", "none"], 1, "no subscription 'none'"),
        (["bill", "none"], 1, "no bill 'none'"),
        (["holds", "nobody", "--json"], 1, "nobody"),
        (["orders", "--account", "nobody"], 1, "nobody"),
        (["allocations", "--customer", "nobody"], 1, "nobody"),
        (["orders", "--status", "paid"], 2, "--status"),
        (["orders", "--from", "soon"], 2, "--from"),
        (["orders", "--after", "none"], 2, "--after"),
        (["subscriptions", "--payment-method", "wechat"], 2, "--payment-method"),
        (["bills", "--status", "open"], 2, "--status"),
        (["allocations", "--to", "2026-13-01"], 2, "--to"),
        (["holds", "acme", "--after", "h1"], 2, "--after"),
        (["exports", "--json", "--ndjson"], 2, "--ndjson"),
        (["order"], 2, "ID"),
        (["holds"], 2, "ACCOUNT"),
    ],
)
def test_faults_go_to_stderr_with_their_exit_code(
    coins: Coins, arguments: list[str], code: int, said: str
) -> None:
    done = coins(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
