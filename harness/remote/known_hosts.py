"""Keep the host keys we trust: parse, look up, compare, and pin atomically."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from harness import errors

_KEY = re.compile(r"(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+")


@dataclass(frozen=True, order=True)
class HostKey:
    """A public host key; `str()` is the form of known_hosts and of .pub files."""

    type: str
    blob: str  # base64

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {self.blob}"


@dataclass(frozen=True)
class Entry:
    """One line of a known_hosts file; `marker` is @revoked, @cert-authority or None."""

    patterns: tuple[str, ...]
    key: HostKey
    marker: str | None


@dataclass(frozen=True)
class Learned:
    """The keys that are pinned for a name; `new` says that this was the first contact."""

    name: str
    keys: frozenset[HostKey]
    file: Path
    new: bool


def parse_key(text: str) -> HostKey:
    """`ssh-ed25519 AAAA… comment` as a value; Invalid when it is none."""
    words = text.split()
    if len(words) >= 2 and _KEY.fullmatch(words[0]) and _is_blob(words[0], words[1]):
        return HostKey(words[0], words[1])
    raise errors.Invalid(
        tried="read a host key",
        on=repr(text[:60]),
        happened="it is no public key of OpenSSH's form",
        do="Expect `<type> <base64>`, as in /etc/ssh/ssh_host_ed25519_key.pub",
    )


def _is_blob(key_type: str, blob: str) -> bool:
    """The blob says its own type once more, after four bytes of length."""
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return False
    return data[4:].startswith(key_type.encode())


def parse(text: str) -> tuple[Entry, ...]:
    """The entries of a known_hosts file; what ssh itself cannot read is passed over, as ssh does."""
    return tuple(entry for line in text.splitlines() if (entry := _parse_line(line)) is not None)


def _parse_line(line: str) -> Entry | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else None
    if len(words) < 3 or words[0].startswith("#"):
        return None
    try:
        return Entry(tuple(words[0].split(",")), parse_key(f"{words[1]} {words[2]}"), marker)
    except errors.Invalid:
        return None


def look_up(paths: Iterable[Path], name: str, *, port: int = 22) -> frozenset[HostKey]:
    """The keys pinned for a name or address in any of the files; a file that is not there pins nothing."""
    wanted = name if port == 22 else f"[{name}]:{port}"
    return frozenset(
        entry.key for path in paths for entry in parse(_read(path)) if entry.marker is None and _covers(entry, wanted)
    )


def _covers(entry: Entry, name: str) -> bool:
    matched = [pattern for pattern in entry.patterns if _matches(pattern.removeprefix("!"), name.lower())]
    return bool(matched) and not any(pattern.startswith("!") for pattern in matched)


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        _, _, salt, digest = pattern.split("|", 3)
        expected = hmac.new(base64.b64decode(salt), name.encode(), "sha1").digest()
        return hmac.compare_digest(expected, base64.b64decode(digest))
    # "[" begins a port in known_hosts and a character class in fnmatch.
    return fnmatchcase(name, pattern.lower().replace("[", "[[]"))


def compare(pinned: Iterable[HostKey], offered: Iterable[HostKey]) -> Literal["same", "changed", "unknown"]:
    """Whether a host that offers these keys is the one that was pinned: one shared key and no contradiction.

    A type that was never pinned is no contradiction; another key of a pinned type is.
    """
    known, shown = frozenset(pinned), frozenset(offered)
    if not known:
        return "unknown"
    types = {key.type for key in known}
    contradicted = any(key.type in types and key not in known for key in shown)
    return "same" if known & shown and not contradicted else "changed"


def pin(path: Path, name: str, address: str | None, keys: Iterable[HostKey]) -> bool:
    """Let exactly these keys stand for `name` and `address` in the file; False when they did already."""
    wanted = sorted(set(keys))
    if not wanted:
        raise errors.Invalid(
            tried="pin host keys", on=name, happened="there is no key to pin", do="Read the host's keys first"
        )
    hosts = [name] if address is None else [name, address]
    return _rewrite(path, hosts, [f"{','.join(hosts)} {key}" for key in wanted])


def learn(paths: Iterable[Path], learned: Path, name: str, address: str | None, offered: Iterable[HostKey]) -> Learned:
    """Trust a host on first contact, and only then: pin what it offers, and say what was pinned.

    `paths` are all files that are trusted. A name that is pinned already is compared, never overwritten.
    """
    pinned, shown = look_up((*paths, learned), name), frozenset(offered)
    verdict = compare(pinned, shown)
    if verdict == "changed":
        raise errors.Untrusted(
            tried="learn the host key",
            on=name,
            happened=f"it offers {_fingerprints(shown)}, pinned is {_fingerprints(pinned)}",
            do=f"Find out why; if it was rebuilt by you, remove its lines from {learned} and try again",
        )
    if verdict == "unknown":
        pin(learned, name, address, shown)
    return Learned(name, pinned or shown, learned, verdict == "unknown")


def _fingerprints(keys: Iterable[HostKey]) -> str:
    return ", ".join(f"{key.type} {key.fingerprint}" for key in sorted(keys)) or "nothing"


def _rewrite(path: Path, hosts: list[str], lines: list[str]) -> bool:
    """Replace the hosts' own lines; a line that names others too loses only these hosts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        before = _read(path).splitlines()
        kept = [rest for line in before if (rest := _without(line, hosts)) is not None]
        after = [*kept, *lines]
        if sorted(after) == sorted(before):
            return False
        _replace(path, "".join(f"{line}\n" for line in after))
        return True


def _without(line: str, hosts: list[str]) -> str | None:
    entry = _parse_line(line)
    if entry is None or entry.marker is not None:
        return line
    left = [pattern for pattern in entry.patterns if not any(_is_host(pattern, host) for host in hosts)]
    if len(left) == len(entry.patterns):
        return line
    return f"{','.join(left)} {entry.key}" if left else None


def _is_host(pattern: str, host: str) -> bool:
    """Plain and hashed names are the host; a wildcard is somebody's wider promise and stays."""
    return not set("*?!") & set(pattern) and _matches(pattern, host.lower())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Guests are made in parallel and share one file, also between two runs."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except OSError as refused:
        raise errors.Refused(
            tried="read the pinned host keys", on=str(path), happened=str(refused), do="Make the file readable"
        ) from refused


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    Path(new.name).replace(path)
