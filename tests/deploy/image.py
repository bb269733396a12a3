"""What `deploy/Dockerfile` makes, without a container engine.

That is the wheel of what .dockerignore lets through, in an environment with what it needs and nothing else.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
HOME = Path("/opt/coinworks")
_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@dataclass(frozen=True)
class Image:
    """The environment that is at /opt/coinworks in the image, and what the Dockerfile says of a process in it."""

    environment: Path
    entrypoint: tuple[str, ...]
    variables: dict[str, str]
    user: tuple[int, int]
    home: str


def build(directory: Path) -> Image:
    """Make it under a directory. Takes nothing from the network: what is needed is in the tests' own environment."""
    wheel = _wheel(directory)
    environment = directory / "environment"
    venv.create(environment, symlinks=True)
    _install(wheel, environment / "bin" / "python")
    (packages,) = environment.glob("lib/python3*/site-packages")
    for distribution in needed("coinworks", {"server"}):
        _copy(distribution, packages)
    for script in (environment / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            text = script.read_text(encoding="utf-8")
            script.write_text(text.replace(f"#!{environment}/", f"#!{HOME}/", 1), encoding="utf-8")
    said = dict(_last_stage())
    uid, gid = map(int, said["USER"].split(":"))
    variables = {}
    for pair in shlex.split(said["ENV"]):
        name, _, value = pair.partition("=")
        variables[name] = value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    entrypoint = tuple(re.findall(r'"([^"]*)"', said["ENTRYPOINT"]))
    return Image(environment, entrypoint, variables, (uid, gid), said["WORKDIR"])


def context() -> list[Path]:
    """The files that the builder gets: those of version control, and new ones, as far as .dockerignore lets them through."""
    listed = _run("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard")
    return [Path(name) for name in listed.splitlines() if let_through(name) and (ROOT / name).is_file()]


def needed(name: str, extras: set[str]) -> Iterator[metadata.Distribution]:
    """What that distribution needs with these extras, and what that needs in turn; not itself."""
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *sorted(extras))]
    found: dict[str, metadata.Distribution] = {}
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        distribution = found.setdefault(name, metadata.distribution(name))
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                other = canonicalize_name(requirement.name)
                waiting += [(other, one) for one in ("", *requirement.extras)]
    return (one for other, one in found.items() if other != "coinworks")


def _wheel(directory: Path) -> Path:
    source = directory / "source"
    for file in context():
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, source / file)
    made = subprocess.run(
        [sys.executable, "-c", _BUILD, str(directory)],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return directory / made.stdout.splitlines()[-1]


def _install(wheel: Path, python: Path) -> None:
    if uv := shutil.which("uv"):
        _run(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel)
    else:
        pip = [Path(sys.base_prefix) / "bin" / "python3", "-m", "pip", "--python", python]
        _run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)


def let_through(name: str) -> bool:
    """Whether .dockerignore lets a file through: the last line that speaks of it, or of a directory above it, decides."""
    taken = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern, negated = line.removeprefix("!"), line.startswith("!")
        if not pattern or line.startswith("#"):
            continue
        parts = name.split("/")
        paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        tries = paths + (parts if pattern.startswith("**/") else [])
        if any(fnmatch.fnmatchcase(path, pattern.removeprefix("**/")) for path in tries):
            taken = negated
    return taken


def _copy(distribution: metadata.Distribution, packages: Path) -> None:
    for file in distribution.files or []:
        target = packages / file
        if ".." not in file.parts and file.locate().is_file():  # no scripts of others
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(str(file.locate()), target)
            except OSError:  # another disk; with its time, by which a compiled file is known to be good
                shutil.copy2(str(file.locate()), target)


def _last_stage() -> Iterator[tuple[str, str]]:
    """Its instructions, each a line."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    for line in lines[last:]:
        if line.strip():
            instruction, _, rest = line.partition(" ")
            yield instruction, rest.strip()


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
