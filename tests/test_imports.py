"""What imports what: the contracts of `pyproject.toml`, and that a producer needs nothing of the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVER_ONLY = ("sqlalchemy", "psycopg", "dramatiq", "typer", "rich", "alembic", "apscheduler", "structlog")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_imports_go_one_way() -> None:
    done = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_sets_type_is_loaded_by_whoever_prints() -> None:
    code = "import schedulers.working, sys; print(*(name for name in ('fpdf', 'uharfbuzz') if name in sys.modules))"
    done = run(sys.executable, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_messages_bring_nothing_of_the_server() -> None:
    code = "import messages, sys; print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & set(SERVER_ONLY)


def test_messages_speak_to_nobody_when_they_are_imported() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "import messages"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "COINS_REDIS_URL": "redis://nowhere"},
        check=False,
    )
    assert done.returncode == 0
