"""`coinworks-client`: this folder as a distribution of its own, beside a platform's code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from messages.commands import COMMANDS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "messages" / "examples" / "python" / "top_up.py"


def said_by(python: Path, code: str) -> str:
    done = subprocess.run(
        [python, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=python.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def project(file: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / file).read_text(encoding="utf-8"))["project"]
    return found


def test_the_wheel_is_this_folder_and_claims_no_name_but_its_own(client_wheel: Path) -> None:
    names = zipfile.ZipFile(client_wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "coinworks_client",
        f"coinworks_client-{project('pyproject.toml')['version']}.dist-info",
    }
    modules = {path.relative_to(ROOT / "messages").as_posix() for path in (ROOT / "messages").rglob("*.py")}
    packed = {name.partition("/")[2] for name in names if name.startswith("coinworks_client/")}
    assert packed == {name for name in modules if not name.startswith("examples/")} | {"py.typed"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_version_and_dependencies_are_those_of_the_product() -> None:
    product, client = project("pyproject.toml"), project("messages/pyproject.toml")
    for what in ("version", "dependencies", "requires-python", "license"):
        assert client[what] == product[what]
    assert set(client["optional-dependencies"]["amqp"]) < set(product["optional-dependencies"]["server"])


def test_a_platform_keeps_its_own_messages(client_python: Path) -> None:
    code = (
        "import messages, sys, coinworks_client as client; client.Publisher, client.OutcomeReader, client.COMMANDS\n"
        "print(messages.WHOSE); print(client.TopUp.__module__)\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('ledger', 'workers', 'console', 'kombu', "
        "'sqlalchemy', 'psycopg', 'dramatiq', 'typer') or name.startswith('messages.')])"
    )
    assert said_by(client_python, code).splitlines() == [
        "the platform's own",
        "coinworks_client.commands.coins",
        "[]",
    ]


def test_every_name_is_there_under_the_clients_name(client_python: Path) -> None:
    code = (
        "from coinworks_client import *\nimport coinworks_client\n"
        "print(' '.join(sorted(COMMANDS)))\n"
        "print(all(getattr(coinworks_client, name) is model for name, model in COMMANDS.items()))\n"
        "try: coinworks_client.Nothing\n"
        "except AttributeError as error: print(error)"
    )
    assert said_by(client_python, code).splitlines() == [
        " ".join(sorted(COMMANDS)),
        "True",
        "module 'coinworks_client' has no attribute 'Nothing'",
    ]


def test_what_rabbitmq_needs_is_told_where_it_is_missing(client_python: Path) -> None:
    code = (
        "import sys; sys.modules['kombu'] = None\n"
        "from coinworks_client import Publisher\n"
        "try: Publisher('amqp://localhost', producer='shop')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    assert said_by(client_python, code) == "RabbitMQ needs kombu: pip install 'coinworks-client[amqp]'\n"


def test_its_users_are_checked_by_its_types(client_python: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "right.py")
    wrong = 'from coinworks_client import Publisher, TopUp\n\nTopUp(account="acme", amount="5", nobody=1)\nPublisher(5)\n'
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    (guide,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "messages" / "README.md").read_text("utf-8"), re.M | re.S
    )
    (tmp_path / "guide.py").write_text(guide, encoding="utf-8")
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--config-file=",
                "--python-executable",
                client_python,
            ),
            *("--cache-dir", ROOT / ".mypy_cache" / "client", "right.py", "guide.py", "wrong.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = [line.split(": ")[0] for line in done.stdout.splitlines() if ": error: " in line]
    assert found == ["wrong.py:3", "wrong.py:3", "wrong.py:4"], done.stdout + done.stderr
