"""Files and names that are there after a power failure, because something else relies on them."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """A file that is as it was or as it is, and on disk when this returns."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    rename(fresh, path)


def rename(path: Path, to: Path) -> None:
    """Give something another name in its directory."""
    path.rename(to)
    sync(to.parent)


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """What was written of a file, or which names a directory has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
