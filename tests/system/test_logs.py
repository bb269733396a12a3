"""Logs as JSON: each line one object that says what it is about, and none of them a secret, whatever fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from messages.signing import sign
from tests.system.attacking import FILE, HONEST, SECRETS, STREAM, body_of, event, signed
from tests.system.site import JOBS, RELAY, SCHEDULER, WORKER, Site, embedded, site_on, until

pytestmark = pytest.mark.system

DATABASE, QUEUE, WRONG, MAIL = "pw-of-database", "pw-of-queue", "pw-that-is-wrong", "pw-of-mail"
RABBIT = "pw-of-rabbit"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CRASHES = "crashes, and what it says is nobody's business"
BAD_SIGNATURE = sign(b"another body", SECRETS[HONEST])


@dataclass
class Told:
    """The lines of all processes of a system in which everything has failed that can."""

    text: str
    signatures: list[str]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def about(self, told: str) -> dict[str, Any]:
        return next(line for line in self.lines if line["event"] == told)


def with_user(url: str, user: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}@{rest.partition('@')[2] if '@' in rest else rest}"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    directory = tmp_path_factory.mktemp("logs")
    with (
        embedded(directory / "servers", durable=False) as both,
        site_on(both, directory / "site", partitions=1) as site,
    ):
        signatures = fail_in_every_way(site)
        for program in site.programs:
            program.process.terminate()
        for program in site.programs:
            program.process.wait(15)
        yield Told("".join(program.log for program in site.programs), signatures)


def fail_in_every_way(site: Site) -> list[str]:
    """Signatures of what was sent."""
    file = site.directory / "producers.toml"
    file.write_text(FILE, encoding="utf-8")
    file.chmod(0o600)
    settings = {
        "LOG_FORMAT": "json",
        "PRODUCERS_FILE": file,
        "DATABASE_URL": with_user(site.database_url, f"coinworks:{DATABASE}"),
        "REDIS_URL": with_user(site.edge_url, f"default:{QUEUE}"),
        "SMTP_URL": f"smtp://mailer:{MAIL}@127.0.0.1:9",
    }
    programs = [site.start(*verb, wait=False, **settings) for verb in (WORKER, RELAY, JOBS, SCHEDULER)]
    site.wait_ready(*programs)
    # A password that the server refuses
    locked_out = site.start(
        *JOBS, wait=False, **settings | {"REDIS_URL": with_user(site.edge_url, f"nobody:{WRONG}")}
    )
    # A RabbitMQ that is away
    nowhere = site.start(
        *RELAY, wait=False, **settings | {"EDGE_URL": f"amqp://coins:{RABBIT}@127.0.0.1:9/coins"}
    )
    # A command that the database refuses, so that it crashes, and one that is not genuine
    site.rows("ALTER TABLE account ADD CONSTRAINT no_crash CHECK (name NOT LIKE 'crashes%%') NOT VALID")
    opening = {"account": "acme", "parent": "platform", "kind": "enterprise"}
    sent = [event("OpenAccount", "cli", "c1", **opening, name=CRASHES), event("TopUp", HONEST, "h1")]
    crashing = signed(body_of({**sent[0], "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}), "cli")
    with site.edge() as client:
        client.xadd(STREAM.format("cli"), crashing)  # type: ignore[arg-type]
        client.xadd(STREAM.format(HONEST), {"event": body_of(sent[1]), "signature": BAD_SIGNATURE})
    # A mail server that is away
    site.rows(
        "INSERT INTO mail (message_id, recipient, subject, body, account, created_at, next_try_at) "
        "VALUES ('m', 'a@example.com', 's', 'b', 1, now(), now())"
    )
    site.rows("INSERT INTO job_run (job, at, asked_by) VALUES ('mails', now(), 'tests')")
    until(lambda: site.value("SELECT count(*) FROM dead_letter") == 2, 20, site.logs)
    until(lambda: site.value("SELECT tries FROM mail") > 0, 20, site.logs)
    until(lambda: "username-password pair" in locked_out.log, 20, site.logs)
    until(lambda: "relaying stopped" in nowhere.log or nowhere.process.poll() is not None, 20, site.logs)
    # A database that is away
    site.servers.postgres.stop()
    until(lambda: "reading again" in programs[0].log, 20, site.logs)
    site.servers.postgres.start()
    site.owner_within(20)
    return [crashing["signature"].decode(), BAD_SIGNATURE]


def test_every_line_is_one_object(told: Told) -> None:
    assert told.lines
    assert all({"event", "level", "logger", "timestamp"} <= set(line) for line in told.lines)


def test_a_line_about_a_command_says_which_and_in_which_batch(told: Told) -> None:
    line = told.about("command crashed")
    assert (line["source"], line["id"], line["trace_id"]) == ("cli", "c1", TRACE)
    assert line["partition"] == 0
    assert line["epoch"] >= 1
    assert line["batch"] >= 1
    assert "no_crash" in line["exception"]


def test_a_line_about_reading_says_of_which_partition(told: Told) -> None:
    line = next(line for line in told.lines if line["event"].startswith("reading again") and "epoch" in line)
    assert line["partition"] == 0


def test_lines_of_a_run_carry_its_number(told: Told) -> None:
    runs = [line for line in told.lines if line["logger"].startswith("workers.jobs") and "job" in line]
    assert runs
    assert all(line["run"] >= 1 for line in runs)


@pytest.mark.parametrize(
    "secret",
    [DATABASE, QUEUE, WRONG, MAIL, RABBIT, *SECRETS.values(), CRASHES, "a@example.com", BAD_SIGNATURE],
)
def test_no_line_tells_a_secret(told: Told, secret: str) -> None:
    assert secret not in told.text


def test_no_line_tells_a_signature(told: Told) -> None:
    assert told.signatures
    assert not [one for one in told.signatures if one in told.text]


FAILS = """
import sys, threading, warnings
from workers.logs import configure
import structlog
configure("json")
warnings.warn("beware")
structlog.get_logger("x").warning("away", url="amqp://coins:hunter2@mq/v", also="redis://:hunter2@r:1/0 is away")
structlog.get_logger("x").warning("in", url="amqp://coins:hun@ter2@mq/v", dsn="host=h password=hunter2 port=1",
    query="redis://r/0?password=hunter2&db=1", quoted="password='hun\\\\'ter2' x")
structlog.get_logger("x").warning("taken", why='DETAIL:  Key (source, id)=(shop, "hunter2")) already exists.', last="(x)")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise RuntimeError("postgresql://u:hunter2@h/d: Failing row contains (1, hunter2, (x)).\\nand more")
"""


def test_what_nobody_caught_is_a_line_of_the_logs_and_urls_keep_their_passwords() -> None:
    done = subprocess.run([sys.executable, "-c", FAILS], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"].partition(":")[0] for line in lines][1:] == [
        "away",
        "in",
        "taken",
        "uncaught exception",
        "uncaught exception",
    ]
    assert "beware" in lines[0]["event"]
    assert lines[1]["url"] == "amqp://coins:********@mq/v"
    assert lines[1]["also"] == "redis://:********@r:1/0 is away"
    assert (lines[2]["url"], lines[2]["dsn"], lines[2]["query"], lines[2]["quoted"]) == (
        "amqp://coins:********@mq/v",
        "host=h password=******** port=1",
        "redis://r/0?password=********&db=1",
        "password=******** x",
    )
    assert lines[3]["why"] == "DETAIL:  Key (source, id)=(…) already exists."
    assert lines[3]["last"] == "(x)"
    assert "ZeroDivisionError" in lines[4]["exception"]
    assert lines[5]["exception"].endswith("postgresql://u:********@h/d: Failing row contains (…).\nand more")
    assert "ter2" not in done.stderr


def test_why_a_process_ends_is_a_line_of_its_logs(tmp_path: Any) -> None:
    environment = {"COINS_LOG_FORMAT": "json", "COINS_DATA_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "console.cli.main", "relay"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["event"] == "ended"
    assert "coins up" in line["why"]
