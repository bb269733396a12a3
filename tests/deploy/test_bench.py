"""`coins bench`: what it accepts, what it compares, what it prints, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.bench.__main__ import _chosen, main
from deploy.bench.errors import FigureFailed
from deploy.bench.figures import FIGURES, LATER, ratios, verdicts
from deploy.bench.latency import percentile
from deploy.bench.report import document
from deploy.bench.results import Failed, Latency, Rate, Result, Written
from deploy.bench.system import check_outcomes
from deploy.bench.workload import Workload, in_arrays, one_by_one
from deploy.bench.yardsticks import COMMANDS_A_TRANSACTION, encoded_rows
from messages.codec import Decoded, decode
from messages.commands import CaptureHold, DebitForDeviceOnboarding, PlaceHold, PlaceOrder, Renewal, Transfer
from messages.streams import partition_of

BENCH = (sys.executable, "-P", "-m", "deploy.bench")
SERVERS = {"postgresql": "18.4", "valkey": "9.1.2"}


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def living_in(directory: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            signs = [*process.cmdline(), process.cwd(), process.environ().get("COINS_DATA_DIR", "")]
        except (psutil.Error, OSError):
            continue
        if process.status() != psutil.STATUS_ZOMBIE and any(str(directory) in sign for sign in signs):
            found.append(" ".join(process.cmdline()))
    return found


def test_an_unknown_figure_is_refused_with_the_list_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["singles", "speed"]) == 2
    said = capsys.readouterr().err
    assert "no figure speed" in said
    assert all(name in said for name in FIGURES)


@pytest.mark.parametrize("name", LATER)
def test_a_figure_of_later_is_refused_as_such(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert f"{name} cannot be measured yet" in capsys.readouterr().err


def test_no_commands_at_all_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--commands", "--rows"):
        assert main(["singles", option, "0"]) == 2
        assert option in capsys.readouterr().err


def test_ratios_are_shown_where_both_were_measured() -> None:
    results: dict[str, Result] = {
        "copy_limit": Rate(40_000.0),
        "pgbench": Failed("no such program"),
        "singles": Rate(10_000.0),
        "bulk": Rate(12_000.0),
        "hot": Rate(5_000.0),
    }
    assert ratios(results) == {"singles": {"copy_limit": 0.25}, "bulk": {"singles": 1.2}}


def test_a_file_is_compared_with_its_yardstick() -> None:
    written = Written(1_000_000, 300.0, 70.04, Written(1_000_000, 500.0, 65.0))

    assert ratios({"export": written}) == {"export": {"openpyxl seconds": 0.6}}
    assert [(one.target, one.met) for one in verdicts("export", written, {})] == [("peak ≤ 250 MB", True)]
    assert not verdicts("export", Written(1, 1.0, 250.1), {})[0].met
    assert document({"export": written}, SERVERS)["figures"]["export"] == {
        "rows": 1_000_000,
        "seconds": 300.0,
        "peak_mb": 70.0,
        "yardstick": {"rows": 1_000_000, "seconds": 500.0, "peak_mb": 65.0},
        "ratios": {"openpyxl seconds": 0.6},
    }


def test_what_takes_long_is_measured_only_when_it_is_named() -> None:
    assert "export" not in _chosen([])
    assert _chosen(["export", "pgbench"]) == ["pgbench", "export"]


def test_targets_are_judged_by_what_this_run_has() -> None:
    met = verdicts("singles", Rate(1.0), {"copy_limit": 0.25, "textbook": 20.0})
    assert [(verdict.target, verdict.met) for verdict in met] == [("≥ 0.25 × copy_limit", True)]
    missed = verdicts("hot", Rate(1.0), {"even": 0.89})
    assert [(verdict.target, verdict.met) for verdict in missed] == [("≥ 0.9 × even", False)]
    waited = verdicts("latency", Latency(p50_ms=15.0, p99_ms=50.1), {})
    assert [(verdict.target, verdict.met) for verdict in waited] == [
        ("p50 ≤ 15 ms", True),
        ("p99 ≤ 50 ms", False),
    ]


def test_every_target_names_a_figure_that_there_is() -> None:
    assert {other for figure in FIGURES.values() for other in figure.at_least} <= set(FIGURES)


def test_the_document_has_rates_ratios_latencies_and_failures() -> None:
    shown = document(
        {
            "copy_limit": Rate(60_000.0),
            "pgbench": Rate(5_500.0, "transactions/s"),
            "singles": Rate(21_000.04),
            "bulk": Failed("stalled"),
            "latency": Latency(4.056, 20.0),
        },
        SERVERS,
    )
    assert shown["figures"] == {
        "copy_limit": {"rate": 60_000.0, "unit": "commands/s"},
        "pgbench": {"rate": 5_500.0, "unit": "transactions/s"},
        "singles": {
            "rate": 21_000.0,
            "unit": "commands/s",
            "ratios": {"copy_limit": 0.35, "pgbench": 3.818},
        },
        "bulk": {"error": "stalled"},
        "latency": {"p50_ms": 4.06, "p99_ms": 20.0},
    }
    assert shown["machine"]["cores"] == os.cpu_count()
    assert shown["machine"]["versions"]["postgresql"] == "18.4"


def test_the_mix_is_valid_and_as_it_is_said_to_be() -> None:
    # Given a thousand accounts and ten thousand commands, a tenth of them on one account
    workload = Workload.for_commands(5_000)
    assert workload.accounts == 1_000
    commands = workload.mixed(10_000, hot_share=0.1)
    # When they are read as a worker reads them
    events = []
    for one in commands:
        (part,) = decode(one.body)
        assert isinstance(part, Decoded)
        assert (part.event.id, part.event.partitionkey) == (one.id, one.partitionkey)
        events.append(part.event)
    # Then no id comes twice, and the shares are right
    assert len({event.id for event in events}) == 10_000
    kinds = Counter(type(event.data) for event in events)
    assert abs(kinds[DebitForDeviceOnboarding] - 5_000) < 200
    assert abs(kinds[Renewal] - 2_000) < 200
    assert abs(kinds[Transfer] - 1_000) < 200
    assert abs(kinds[PlaceOrder] - 1_000) < 200
    assert abs(kinds[PlaceHold] + kinds[CaptureHold] - 1_000) < 200
    assert kinds[PlaceHold] >= kinds[CaptureHold] > 100
    sponsored = [one for one in events if getattr(one.data, "account", "").endswith(".customer")]
    assert abs(len(sponsored) - 1_000) < 200
    hot = workload.hot.account
    on_the_hot = [
        event
        for event in events
        if hot in (getattr(event.data, "account", None), getattr(event.data, "from_account", None))
    ]
    assert 700 < len(on_the_hot) < 1_100


def test_arrays_hold_the_same_commands_by_partition() -> None:
    commands = Workload.for_commands(1_000).mixed(1_000, hot_share=0.0)
    singles, arrays = one_by_one(commands, 2), in_arrays(commands, 2, 500)
    assert len(singles) == 1_000
    assert len(arrays) <= 4
    for message in arrays:
        for part in decode(message.body):
            assert isinstance(part, Decoded)
            assert partition_of(part.event.partitionkey, 2) == message.partition
    assert sum(len(decode(message.body)) for message in arrays) == 1_000


def test_rows_of_a_yardstick_are_ready_before_the_clock_starts() -> None:
    transactions = encoded_rows(0, 2 * COMMANDS_A_TRANSACTION)
    assert len(transactions) == 2
    for keys, _, entries in transactions:
        assert keys.count(b"device-mgmt") == COMMANDS_A_TRANSACTION
        assert len(entries) == 19 + 2 * COMMANDS_A_TRANSACTION * (2 + 5 * 12) + 2


def test_a_percentile_is_a_value_that_was_measured() -> None:
    waited = [float(number) for number in range(1, 101)]
    assert percentile(waited, 0.50) == 51.0
    assert percentile(waited, 0.99) == 100.0
    assert percentile([3.0], 0.99) == 3.0


def outcome(id_: str, type_: str = "coins.CommandApplied.v1") -> bytes:
    data = {"reason": None if type_.endswith("Applied.v1") else "account_not_found", "message": "none"}
    return json.dumps({"type": type_, "causationid": id_, "data": data}).encode()


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        ([outcome("1")], "1 commands have no outcome; one of them is 2"),
        ([outcome("1"), outcome("1"), outcome("2")], "1 has more than one outcome"),
        ([outcome("1"), outcome("2", "coins.CommandRejected.v1")], "refused: account_not_found"),
    ],
)
def test_a_rate_counts_only_when_each_command_was_applied_once(outcomes: list[bytes], why: str) -> None:
    check_outcomes(["1", "2"], [outcome("2"), outcome("1")])
    with pytest.raises(FigureFailed, match=why):
        check_outcomes(["1", "2"], outcomes)


@pytest.mark.system
def test_a_small_run_prints_one_document_and_leaves_nothing(tmp_path: Path) -> None:
    command = [*BENCH, "singles", "copy_limit", "sizes", "--commands", "500", "--json"]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    singles, limit = shown["figures"]["singles"], shown["figures"]["copy_limit"]
    assert list(shown["figures"]) == ["copy_limit", "singles", "sizes"]
    assert singles["unit"] == limit["unit"] == "commands/s"
    assert min(singles["rate"], limit["rate"]) > 0
    assert singles["ratios"] == {"copy_limit": pytest.approx(singles["rate"] / limit["rate"], abs=0.001)}
    sizes = shown["figures"]["sizes"]
    assert sizes["commands"] == 500
    assert sizes["database"] == pytest.approx(sum(sizes["left"].values()), abs=5)
    assert {"command", "entry", "transaction", "batch"} <= set(sizes["left"])
    assert min(sizes["wal"], sizes["waiting"], sizes["told"]) > 100
    assert {"postgres", "valkey", "relay", "jobs", "scheduler"} < set(sizes["memory"])
    assert sizes["sessions"]["coins relay"] == 1
    assert shown["machine"]["versions"]["postgresql"].startswith("18.")
    assert "measuring singles" in done.stderr
    assert not list(tmp_path.iterdir())
    assert not living_in(tmp_path)


@pytest.mark.system
def test_an_export_is_measured_beside_openpyxls(tmp_path: Path) -> None:
    command = [*BENCH, "export", "--rows", "500", "--json"]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    export = json.loads(done.stdout)["figures"]["export"]
    assert export["rows"] == export["yardstick"]["rows"] == 500
    assert 10 < export["peak_mb"] < 250
    assert not list(tmp_path.iterdir())


@pytest.mark.system
def test_asked_to_stop_in_the_middle_it_leaves_nothing(tmp_path: Path) -> None:
    # Given a bench whose system is being prepared
    said = tmp_path / "stderr"
    room = tmp_path / "room"
    room.mkdir()
    with said.open("wb") as stderr:
        bench = subprocess.Popen(
            [*BENCH, "singles", "--commands", "200"], env=environment(room), stderr=stderr
        )
    deadline = time.monotonic() + 60
    while b"preparing" not in said.read_bytes():
        assert bench.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # When it is asked to stop, by somebody impatient
    bench.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    bench.send_signal(signal.SIGINT)
    # Then it stops, and so does everything it had started
    assert bench.wait(30) == 130
    assert not list(room.iterdir())
    assert not living_in(room)
