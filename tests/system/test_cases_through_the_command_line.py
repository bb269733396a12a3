"""The scenarios of tests/cases, told to a running system through `coins send --wait` and the verbs that read."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from console.cli.main import app
from tests.cases_runner import Case, cases, play
from tests.system.site import Site, settings_of

pytestmark = pytest.mark.system


class CommandLine:
    """Speaks to the ledger as a person would. The verbs run in this process, so that a scenario takes no minute."""

    def __init__(self, site: Site) -> None:
        unset = {name: None for name in os.environ if name.startswith("COINS_")}
        self._environment: dict[str, str | None] = {**unset, **settings_of(site)}

    def send(self, event: dict[str, Any]) -> dict[str, Any]:
        done = self._run("send", "-", "--wait", given=json.dumps(event))
        (line,) = done.stdout.splitlines()
        outcome: dict[str, Any] = json.loads(line)
        assert done.exit_code == (0 if outcome["data"]["reason"] is None else 4), done.stderr
        return outcome

    def balance(self, account: str) -> dict[str, Any]:
        found: dict[str, Any] = self._read("balance", account)
        return found

    def statement(self, account: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self._read("statement", account)["rows"]
        return lines

    def _read(self, verb: str, account: str) -> Any:
        done = self._run(verb, account, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def _run(self, *arguments: str, given: str = "") -> Result:
        return CliRunner().invoke(app, arguments, input=given, env=self._environment)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_scenario_goes_as_told(case: Case, any_site: Site) -> None:
    play(case, CommandLine(any_site))
