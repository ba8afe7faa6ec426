"""Watch a machine while commands run on it: every command line, every environment, and the files of passing runs."""

from __future__ import annotations

import base64
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAUSE_S = 0.02
LARGEST = 4 << 20  # a larger file is a program or a package


@dataclass
class Seen:
    """What was there at some moment; a text once, however often it was seen."""

    command_lines: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    files: dict[tuple[str, int, bytes], None] = field(default_factory=dict)  # path, mode, content


@contextmanager
def watching(folders: Callable[[], Iterable[Path]]) -> Iterator[Seen]:
    """Look again and again until the block ends; `folders` are asked for each time, for they pass, too.

    The lab's processes are this machine's, so /proc shows them as well.
    """
    seen, over = Seen(), threading.Event()

    def watch() -> None:
        while not over.wait(PAUSE_S):
            seen.command_lines.update(_of_processes("cmdline"))
            seen.environments.update(_of_processes("environ"))
            seen.files.update(dict.fromkeys(files_below(folders())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _of_processes(what: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / what).read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue


def files_below(folders: Iterable[Path], leave: frozenset[str] = frozenset()) -> Iterator[tuple[str, int, bytes]]:
    """Regular files with mode and content. A pipe is not touched: whoever reads it takes what another waits for."""
    for folder in folders:
        for place, names, files in os.walk(folder):
            names[:] = [name for name in names if f"{place}/{name}".removeprefix(str(folder)) not in leave]
            for name in files:
                path = Path(place, name)
                try:
                    about = path.lstat()
                    if stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST:
                        yield str(path), stat.S_IMODE(about.st_mode), path.read_bytes()
                except OSError:  # it is gone already
                    continue


def forms_of(secret: str) -> tuple[str, ...]:
    """A secret as itself, and as base64 writes it at each of the three places it can begin."""
    shifted = (base64.b64encode(b"." * shift + secret.encode()).decode() for shift in range(3))
    return (secret, *(text[4:-4] for text in shifted))


def told(secrets: Mapping[str, str], texts: Iterable[str]) -> list[str]:
    """Which secrets stand in the texts: their names, and never more than the names."""
    forms = {name: forms_of(secret) for name, secret in secrets.items()}
    return sorted(
        {name for text in texts for name, all_forms in forms.items() if any(one in text for one in all_forms)}
    )


def too_open(secrets: Mapping[str, str], files: Iterable[tuple[str, int, bytes]]) -> list[str]:
    """Files with a secret in them that somebody else could read."""
    return sorted(
        {
            f"{path} ({mode:o}): {', '.join(found)}"
            for path, mode, content in files
            if mode & ~0o600 and (found := told(secrets, [content.decode(errors="replace")]))
        }
    )
