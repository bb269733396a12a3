"""The file of an export, copied to where somebody wants it: as it was made, or not at all."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from workers.errors import ExportFailed
from workers.whole import whole_file


def fetch(source: Path, sha256: str, out: Path) -> None:
    """Raises ExportFailed where the file is not there, or was changed; FileNotWritten where `out` cannot be written."""
    if not source.is_file():
        raise ExportFailed(f"{source} is not there; is COINS_FILES_DIR the one that the job workers have?")
    with whole_file(out) as part:
        shutil.copyfile(source, part)
        with part.open("rb") as copied:
            if hashlib.file_digest(copied, "sha256").hexdigest() != sha256:
                raise ExportFailed(
                    f"{source} is not as it was made (sha256 {sha256}); ask for the export again"
                )
