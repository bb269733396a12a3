"""`coins up` with commands coming in by RabbitMQ: every other verb with the same directory finds it, also afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.up import EDGE_FILE
from tests.deploy.enrolled import coins, up
from tests.rabbitmq import virtual_host

pytestmark = [pytest.mark.system, pytest.mark.rabbitmq]
OPENING = {"account": "acme", "parent": "platform", "kind": "enterprise", "name": "Acme"}


def test_verbs_find_the_edge_and_a_restore_asks_it(tmp_path: Path) -> None:
    data, log, backup = tmp_path / "data", tmp_path / "up.log", tmp_path / "backup"

    def send(id_: str, type_: str, **fields: object) -> None:
        file = tmp_path / "one.ndjson"
        file.write_text(json.dumps({"type": type_, "id": id_, "data": fields}), encoding="utf-8")
        done = coins(data, "send", str(file), "--wait")
        assert (done.returncode, done.stderr) == (0, "")

    with virtual_host() as edge:
        with up(data, log, EDGE_URL=edge):
            # Other verbs go by the edge that it was started with, and no password is shown.
            said = log.read_text(encoding="utf-8")
            assert "RabbitMQ's virtual host" in said
            assert re.search(r"^ready .* edge=amqp://guest:\*+@", said, re.M)
            send("0", "OpenAccount", **OPENING)
            send("1", "TopUp", account="acme", amount=1)
            assert "RabbitMQ answers" in coins(data, "health").stdout

            # A producers file that comes while it runs is not gone by, and that is said.
            new = coins(data, "producer", "new", "shop", "--commands", "TopUp", "--under", "acme")
            assert new.returncode == 0, new.stderr
            assert "start it again" in new.stderr
            assert "rabbitmqctl import_definitions" in new.stderr
            (data / "producers.toml").unlink()

            assert coins(data, "backup", str(backup)).returncode == 0
            send("2", "TopUp", account="acme", amount=2)

        # Nothing was kept of commands: what was told after the back-up is listed, not passed over.
        early = coins(data, "restore", str(backup), "--wal", str(tmp_path), "--at", "2026-01-01T00:00:00Z")
        assert early.returncode == 1
        assert "take an older one" in early.stderr
        restored = coins(data, "restore", str(backup))
        assert restored.returncode == 5, restored.stderr
        assert "cli 2: told applied as transaction" in restored.stderr

    # An edge that is left behind is not left behind in silence.
    with up(data, log):
        assert "set COINS_EDGE_URL if some may be waiting there" in log.read_text(encoding="utf-8")
    assert not (data / EDGE_FILE).exists()
