"""The distribution `coinworks-client` as a platform has it: its wheel, in an environment of its own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

MESSAGES = Path(__file__).parents[2] / "messages"


@pytest.fixture(scope="session")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the folder alone, as `make client` and pip do it."""
    directory = tmp_path_factory.mktemp("client")
    shutil.copytree(
        MESSAGES, directory / "messages", ignore=shutil.ignore_patterns("*.egg-info", "node_modules")
    )
    code = "from setuptools import build_meta; print(build_meta.build_wheel('../dist'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory / "messages",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="session")
def client_python(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a platform that has the client, what the client needs, and a package `messages` of its own."""
    home = tmp_path_factory.mktemp("platform")
    python = home / "bin" / "python"
    # To bring pip into it takes seconds; where this environment has none, it has to be.
    has_pip = importlib.util.find_spec("pip") is not None
    venv.create(home, with_pip=not has_pip, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", python) if has_pip else (python, "-m", "pip")
    subprocess.run(
        [*pip, "install", "--quiet", "--no-index", "--no-deps", client_wheel], check=True, timeout=60
    )
    packages = next((home / "lib").glob("python*/site-packages"))
    # A path in a .pth is searched, but what is installed there in other ways than as a folder is not found by it: neither is
    # this repository, where its packages are installed to be edited.
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    (packages / "messages.py").write_text('WHOSE = "the platform\'s own"\n', encoding="utf-8")
    return python
