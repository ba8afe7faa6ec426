"""Keep compiled templates beside their sources, as Python keeps its compiled modules."""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from pathlib import Path

from jinja2 import FileSystemBytecodeCache
from jinja2.bccache import Bucket


class CompiledTemplates(FileSystemBytecodeCache):
    """To compile the templates takes longer than to fill them.

    Jinja compiles again what has changed; `maker`, the module whose options and filters they are compiled with, counts
    as a part of each. Nothing is written where Python writes no compiled modules either.
    """

    def __init__(self, folder: Path, maker: Path) -> None:
        super().__init__(str(folder), f"%s.{hashlib.sha256(maker.read_bytes()).hexdigest()[:16]}.jinja")

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):  # somebody else's folder: the next run compiles them again
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)
