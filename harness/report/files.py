"""Write a result so that a reader finds the old file or the whole new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import Invalid


def write_whole(file: Path, text: str) -> None:
    """`text` as `file`, its folder made where it is missing."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        part = Path(name)
        part.chmod(0o644)
        part.replace(file)
    except OSError as error:
        raise Invalid(
            tried="write the result",
            on=str(file),
            happened=error.strerror or str(error),
            do="Name a place you can write to",
        ) from error
