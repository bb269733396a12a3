"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from workers.errors import FileNotWritten

# What a process that was killed leaves behind begins so; nothing else does.
UNFINISHED: Final = ".coins-unfinished-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what is to be at `path`: in a directory of its own beside it, in which all else is removed.

    At the end it is forced to the disk, and takes the place of what was there; after a failure nothing has changed.

    Raises FileNotWritten where the file cannot be written.
    """
    path = path.resolve()
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise FileNotWritten(f"{path} is no file; name one that is, or that is not there yet")
        with TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as room:
            unfinished = Path(room) / path.name
            yield unfinished
            _sync(unfinished, os.O_RDONLY)
            unfinished.replace(path)
            _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FileNotWritten(f"{path} cannot be written: {error.strerror or error}") from error


def _sync(path: Path, flags: int) -> None:
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
