"""`coins demo`: the day is reproducible, it adds up on a system of its own, and where it does not, that is said."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from rich.cells import cell_len

from deploy.demo.expectation import expectation
from deploy.demo.make_day import made
from deploy.demo.reckon_usage import minutes_started, running_fee
from deploy.demo.scenes import MINUTES, SCENES
from deploy.demo.story import EXPECTED_FILE, HERE, MESSAGES_FILE, Story, read, write

DEMO = (sys.executable, "-P", "-m", "deploy.demo")
# As `coins demo --data …`, with another day: the arguments are the data's directory, and the day's.
ANOTHER_DAY = """
import sys
from pathlib import Path
from deploy.demo.__main__ import main
sys.exit(main(["--data", sys.argv[1]], story_dir=Path(sys.argv[2])))
"""
WITHOUT_THE_LEDGER = """
import sys
from deploy.demo.expectation import expectation
from deploy.demo.story import read
day = read()
assert expectation(list(zip(day.chapters, day.messages, strict=True)), day.evening) == day.expected
assert not [name for name in sys.modules if name.partition(".")[0] == "ledger"]
"""
LONGEST_SECONDS = 60.0
LARGEST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def day() -> Story:
    return read()


def environment(temporary: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8", **more}


def demonstrate(temporary: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(temporary),
        capture_output=True,
        encoding="utf-8",
        timeout=3 * LONGEST_SECONDS,
        check=False,
    )


def living_in(directory: Path) -> list[psutil.Process]:
    """Processes that work in the directory, or were told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            told = process.environ().get("COINS_DATA_DIR", "")
            if process.cwd().startswith(str(directory)) or told.startswith(str(directory)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_day_is_made_again_to_the_byte(tmp_path: Path) -> None:
    write(made(), tmp_path)
    for name in (MESSAGES_FILE, EXPECTED_FILE):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()
    assert (HERE / MESSAGES_FILE).stat().st_size < LARGEST_BYTES


def test_the_day_has_everything_that_happens_on_a_day(day: Story) -> None:
    results = {name.rsplit(" ", 1)[1] for name in day.expected.outcomes}
    assert results >= {
        "applied",
        "invalid_message",
        "idempotency_conflict",
        "expired",
        "account_suspended",
        "not_in_hierarchy",
        "duplicate_reference",
        "device_already_onboarded",
        "insufficient_credit",
        "sponsor_insufficient_credit",
        "master_insufficient_credit",
        "session_exists",
        "session_closed",
        "order_exists",
        "exceeds_hold",
        "already_renewed",
        "payment_method_not_available",
        "refund_exceeds_charge",
    }
    commands = sum(day.expected.outcomes.values()) + sum(day.expected.duplicates.values())
    assert commands > 5_000
    assert 0.01 < sum(day.expected.duplicates.values()) / commands < 0.03
    crowd = day.messages[-1]
    assert any(message.body.startswith(b'[{"spec') for message in crowd)
    assert any(not list(message.keys()) for message in crowd)
    assert {message.producer for message in crowd} == {"device-mgmt", "cloud-platform", "back-office"}


def test_what_is_expected_is_reckoned_without_the_ledgers_code() -> None:
    subprocess.run((sys.executable, "-P", "-c", WITHOUT_THE_LEDGER), check=True, timeout=LONGEST_SECONDS)


def test_the_story_comes_out_as_it_is_written(day: Story) -> None:
    """The figures by which the scenes explain themselves: (credit, frozen, available), and whom to ask."""
    told = day.expected.told
    assert len(told) == sum(len(scene.steps) for scene in SCENES)
    # Both the allotment and the distributor's coins are taken; a second-level reseller's are not there to be taken
    bought = told["cloud-platform sponsor-4"]
    assert bought.entries == [("farol", "order", -800, "farm-1"), ("atlantico", "order", -800, "farm-1")]
    short = told["cloud-platform sponsor-5"]
    assert short.result == "sponsor_insufficient_credit"
    assert short.ask == "Revenda Maré (vendas@mare.example)"
    # 500 × 1.3 are frozen, usage comes out of that, termination gives back the rest
    frozen = [told[f"cloud-platform postpaid-{step}"].figures["ipanema"] for step in (2, 4, 5, 6)]
    assert frozen == [(1_000, 650, 350), (760, 410, 350), (610, 260, 350), (610, 0, 610)]
    # 08:00:10 to 17:30:30 are 571 started minutes, and at noon it was 240; × 0.35, rounded up
    assert (MINUTES, *day.expected.looks["bakery-live"]) == (571, 240, 84)
    assert told["cloud-platform phone-3"].entries[0] == ("luanova", "running_fee", -200, "bakery-live")
    # A cycle is an order; another method is booked and spent
    cycles = [told[f"cloud-platform subscription-{step}"].entries[0][1:] for step in (1, 2)]
    assert cycles == [("order", -90, "shop-pro/1"), ("renewal", -90, "shop-pro/2")]
    assert [entry[1:3] for entry in told["cloud-platform method-3"].entries] == [
        ("recharge", 240),
        ("order", -240),
    ]
    # A refund in parts ends with what was charged
    parts = [told[f"back-office refund-{step}"] for step in (1, 2, 3, 4)]
    assert [part.entries[0][2] if part.entries else part.result for part in parts] == [
        300,
        300,
        "refund_exceeds_charge",
        200,
    ]


def test_minutes_are_started_and_fees_rounded_up_once() -> None:
    on = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert [minutes_started(on, on + timedelta(seconds=s)) for s in (0, 1, 60, 61)] == [1, 1, 1, 2]
    assert [running_fee("0.35", minutes) for minutes in (1, 20, 21)] == [1, 7, 8]


@pytest.mark.system
def test_a_day_adds_up_though_a_worker_is_killed_in_it(tmp_path: Path, day: Story) -> None:
    began = time.monotonic()
    done = demonstrate(tmp_path, *DEMO)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert seconds < LONGEST_SECONDS
    for fact in (
        r"commands-\d is killed \(SIGKILL\), with [\d,]+ outcomes told",
        r"commands-\d, (started again|the stand-by), took over \d+\.\d s later",
        r"insufficient_credit×\d+",
        r"web shop for 2,500 +✗ sponsor_insufficient_credit\n +The sponsor of Lua Nova cannot cover 2,500; "
        r"ask Revenda Maré \(vendas@mare\.example\) for more\.\n",
        r"render farm for 800 +farol 1,200 → 400 · atlantico 3,000 → 2,200\n",
        r"ipanema 1,000 − 650 frozen = 350\n",
        r"at noon +240 started minutes, 84 so far\n",
        r"571 minutes × 0\.35 +luanova 2,500 → 2,300 · atlantico 4,700 → 4,500\n",
        r"order shop-pro/2 +luanova 2,210 → 2,120",
        r"by pix +ipanema 585 \+ 240 − 240 = 585\n",
        rf"each of the {len(day.expected.told)} steps told above came out as reckoned",
        r"\d+ repeated deliveries: each got the first outcome again, and changed nothing",
        r"unreadable +5 .*not JSON",
        r"华信物联科技有限公司 \(huaxin\)",
        r"draws on huaxin-shanghai",
        r"Lua Nova \(luanova\).* allotment",
        r"usage +-\d+ +[\d,]+ +(farol|luanova)",
        r"[\d,]+ commands in \d+\.\d s .* a second",
        rf"verification: {day.expected.transactions:,} transactions, [\d,]+ entries recomputed: no difference",
        r"everything adds up",
        r"coins up",
    ):
        assert re.search(fact, done.stdout), fact
    assert "\x1b" not in done.stdout  # plain, where nobody looks on
    told_by_step = re.compile(r" *\d+\.\d s  ")
    assert not [
        line
        for line in done.stdout.splitlines()
        if cell_len(line.rstrip()) > 100 and not told_by_step.match(line)
    ]
    assert not list(tmp_path.iterdir())
    assert not living_in(tmp_path)


@pytest.mark.system
def test_what_does_not_add_up_is_named_and_exits_1(tmp_path: Path, day: Story) -> None:
    # Given the morning and a scene, and expectations that are wrong in six places
    chapters, messages = day.chapters[:2], day.messages[:2]
    expected = expectation(list(zip(chapters, messages, strict=True)), None)
    bought, refused = "cloud-platform sponsor-4", "cloud-platform sponsor-5"
    figures = {**expected.told[bought].figures, "atlantico": (3_000, 0, 3_000)}
    tampered = replace(
        expected,
        told={
            **expected.told,
            bought: expected.told[bought]._replace(figures=figures, entries=[]),
            refused: expected.told[refused]._replace(ask="Atlântico"),
        },
        outcomes={**expected.outcomes, "TopUp applied": expected.outcomes["TopUp applied"] + 1},
        balances={**expected.balances, "huaxin": {**expected.balances["huaxin"], "credit": 5}},
        transactions=0,
    )
    room, data = tmp_path / "day", tmp_path / "data"
    room.mkdir()
    write(Story(chapters, messages, None, tampered), room)
    # When it is shown
    done = demonstrate(tmp_path, sys.executable, "-c", ANOTHER_DAY, str(data), str(room))
    # Then each is named, and nothing else
    assert done.returncode == 1, done.stdout + done.stderr
    for line in (
        f"✗ atlantico after the step {bought}: (3000, 0, 3000) expected, (2200, 0, 2200) found",
        f"✗ the entries of the step {bought}: [] expected",
        f"✗ the step {refused}: Atlântico is to be asked, but it says: The sponsor of Lua Nova",
        "✗ outcomes of TopUp applied: 9 expected, 8 found",
        "✗ the credit of huaxin: 5 expected, 324,000 found",
        f"✗ transactions: 0 expected, {expected.transactions} found",
        "NO: 6 things do not add up",
    ):
        assert line in done.stdout
    assert "everything adds up" not in done.stdout
    # And the data that was asked for stays, to be looked at, and is not used a second time
    assert f"coins up --data {data}" in done.stdout
    assert (data / "postgres" / "PG_VERSION").exists()
    assert not living_in(tmp_path)
    assert demonstrate(tmp_path, *DEMO, "--data", str(data)).returncode == 2


@pytest.mark.system
def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    with output.open("wb") as said:
        process = subprocess.Popen(
            DEMO, env=environment(tmp_path, PYTHONUNBUFFERED="1"), stdout=said, stderr=said
        )
    deadline = time.monotonic() + LONGEST_SECONDS
    while "the back office sets up" not in output.read_text("utf-8") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert output.read_text("utf-8").endswith("coins demo: stopped\n")
    assert list(tmp_path.iterdir()) == [output]
    assert not living_in(tmp_path)


def test_servers_that_cannot_start_exit_3_with_a_reason(tmp_path: Path) -> None:
    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))

    done = subprocess.run(
        DEMO,
        env=environment(tmp_path),
        capture_output=True,
        encoding="utf-8",
        timeout=LONGEST_SECONDS,
        check=False,
        preexec_fn=no_large_files,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "coins demo: PostgreSQL's data cannot be made" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_expected_names_the_chapters_of_the_file(tmp_path: Path, day: Story) -> None:
    write(day, tmp_path)
    assert read(tmp_path) == day
    content = json.loads((tmp_path / EXPECTED_FILE).read_text("utf-8"))
    content["chapters"][0]["lines"] += 1
    (tmp_path / EXPECTED_FILE).write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match="its chapters have another number"):
        read(tmp_path)
