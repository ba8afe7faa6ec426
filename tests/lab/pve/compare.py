"""Say in which words, keys or types two answers of the same call differ; figures and random values do not count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# What every node says in its own way: (pattern, stand-in).
_VOLATILE = (
    (r"UPID:[^\s\"]+:", "<upid>"),
    (r"\b[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\b", "<mac>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"Temporary failure in name resolution|Name or service not known", "<resolver>"),
    (r"'(10\.0\.2|9\.2\.0)'", "'<qemu>'"),
    (r"\+pve\d", "+pve<n>"),
    (r"pveupload-[0-9a-f]+", "pveupload-<n>"),
    (r"vzdumptmp\d+", "vzdumptmp<pid>"),
    (r"MAX \d+ vcpus", "MAX <n> vcpus"),
    (r"creation-qemu=\S+,ctime=\d+", "<meta>"),
    (r"/usr/share/perl5/\S+ line \d+\.", "<perl>"),
)
# Values that are the same on every node and are compared, not only their types.
_TELLING = frozenset(("exitstatus", "status", "type", "name", "tags", "lock", "template", "qmpstatus", "id", "privs"))
# QEMU adds it with the first block that is read, some moment after the start.
_NOT_COMPARED = frozenset(("idle_time_ns",))
_LISTS_OF_ONE_LENGTH = re.compile(r"/access/(acl|users|groups)(/|$)|/pools$|/nodes/hv01/qemu$|/token$")
_CONFIG = re.compile(r"/qemu/\d+/config$")
_LOG = re.compile(r"/tasks/[^/]+/log$")
_HEADERS = ("Server", "Connection", "Cache-Control", "Pragma")


def plain(text: str, replaced: Mapping[str, str]) -> str:
    """The text with everything volatile replaced by a stand-in."""
    if replaced:  # the longest first and all at once: one name may begin like another or be what another becomes
        names = "|".join(re.escape(mine) for mine in sorted(replaced, key=len, reverse=True))
        text = re.sub(names, lambda match: replaced[match[0]], text)
    for pattern, stand_in in _VOLATILE:
        text = re.sub(pattern, stand_in, text)
    return text


def differences(recorded: Mapping[str, Any], reply: Any, replaced: Mapping[str, str]) -> list[str]:
    """What is wrong with the reply, one line each; empty when it agrees."""
    found = []
    if recorded["status"] != reply.status:
        found.append(f"status {reply.status} instead of {recorded['status']}")
    wanted, got = plain(recorded["reason"] or "", {}), plain(reply.reason, replaced)
    if wanted != got:
        found.append(f"reason {got!r} instead of {wanted!r}")
    for name in _HEADERS:
        theirs = (recorded.get("headers") or {}).get(name)
        if theirs is not None and theirs != reply.headers.get(name):
            found.append(f"header {name}: {reply.headers.get(name)!r} instead of {theirs!r}")
    body = reply.body
    if isinstance(recorded["body"], str) or isinstance(body, str):
        if plain(str(recorded["body"]), {}) != plain(str(body), replaced):
            found.append(f"body {str(body)[:200]!r} instead of {str(recorded['body'])[:200]!r}")
        return found
    return found + _bodies(recorded, body, replaced)


def _bodies(recorded: Mapping[str, Any], body: Mapping[str, Any], replaced: Mapping[str, str]) -> list[str]:
    theirs = recorded["body"]
    path = recorded["path"].partition("?")[0]
    found = _shapes(theirs, body, "", replaced, is_cut=bool(recorded.get("trimmed")))
    for key in ("message", "errors"):
        if key in theirs and key in body and _words(theirs[key], {}) != _words(body[key], replaced):
            found.append(f"{key} {_words(body[key], replaced)!r} instead of {_words(theirs[key], {})!r}")
    if _CONFIG.search(path) and recorded["method"] == "GET" and isinstance(theirs["data"], dict):
        cut = " ".join(recorded.get("trimmed") or ())
        whole = {key: value for key, value in theirs["data"].items() if key not in cut}
        found += _values(whole, body["data"] or {}, replaced)
    if (
        _LOG.search(path)
        and isinstance(theirs["data"], list)
        and not recorded.get("trimmed")
        and theirs["data"]
        and body["data"]
    ):
        last, mine = theirs["data"][-1]["t"], body["data"][-1]["t"]
        # A running copy ends wherever it is.
        if plain(last, {}) != plain(mine, replaced) and not last.startswith("transferred"):
            found.append(f"last line {mine!r} instead of {last!r}")
    counted = _LISTS_OF_ONE_LENGTH.search(path) and recorded["method"] == "GET" and not recorded.get("trimmed")
    if counted and isinstance(theirs["data"], list) and len(theirs["data"]) != len(body["data"]):
        found.append(f"{len(body['data'])} items instead of {len(theirs['data'])}")
    return found


def _words(value: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _words(item, replaced) for key, item in value.items()}
    return plain(value, replaced) if isinstance(value, str) else value


def _values(theirs: Mapping[str, Any], mine: Mapping[str, Any], replaced: Mapping[str, str]) -> list[str]:
    """A configuration is compared value by value."""
    keys = sorted((theirs.keys() & mine.keys()) - {"digest"})
    pairs = [(key, _words(theirs[key], {}), _words(mine[key], replaced)) for key in keys]
    return [f"{key}: {got!r} instead of {wanted!r}" for key, wanted, got in pairs if wanted != got]


def _shapes(theirs: Any, mine: Any, where: str, replaced: Mapping[str, str], *, is_cut: bool) -> list[str]:
    """Keys and JSON types, through objects and lists."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        found = [f"{where}: key {key!r} is missing" for key in sorted(theirs.keys() - mine.keys() - _NOT_COMPARED)]
        found += [f"{where}: key {key!r} is too much" for key in sorted(mine.keys() - theirs.keys() - _NOT_COMPARED)]
        for key in sorted(theirs.keys() & mine.keys()):
            found += _shapes(theirs[key], mine[key], f"{where}.{key}", replaced, is_cut=is_cut)
            both_text = isinstance(theirs[key], str | int) and isinstance(mine[key], str | int)
            if key in _TELLING and both_text and not _alike(theirs[key], mine[key], replaced):
                found.append(f"{where}.{key}: {mine[key]!r} instead of {theirs[key]!r}")
        return found
    if isinstance(theirs, list) and isinstance(mine, list):
        return _list_shapes(theirs, mine, where, replaced, is_cut=is_cut)
    return [] if _kind(theirs) == _kind(mine) else [f"{where}: {_kind(mine)} instead of {_kind(theirs)}"]


def _alike(theirs: object, mine: object, replaced: Mapping[str, str]) -> bool:
    return plain(str(theirs), {}) == plain(str(mine), replaced) or str(theirs).startswith(("UPID", "node/"))


def _kind(value: object) -> str:
    """Perl's floats come out as integers when they are whole."""
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def _list_shapes(
    theirs: Sequence[Any], mine: Sequence[Any], where: str, replaced: Mapping[str, str], *, is_cut: bool
) -> list[str]:
    """Both empty or both not; by kind of item, which keys are always there and which sometimes."""
    if bool(theirs) != bool(mine):
        return [f"{where}: {'no' if not mine else 'some'} items instead of {'some' if theirs else 'none'}"]
    found = []
    groups = _grouped(theirs)
    for group, items in _grouped(mine).items():
        if group not in groups:
            found += [] if is_cut else [f"{where}: items of kind {group!r} are too much"]
            continue
        found += _item_shapes(groups[group], items, f"{where}[{group}]", replaced, is_cut=is_cut)
    if is_cut:
        return found  # what was cut away could have been any of them
    return found + [f"{where}: items of kind {group!r} are missing" for group in groups.keys() - _grouped(mine).keys()]


def _grouped(items: Sequence[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        kind = ""
        if isinstance(item, dict) and "upid" not in item:
            kind = str(item.get("type", item.get("content", "") if "volid" in item else "")) + (
                "/unknown" if item.get("status") == "unknown" else ""
            )
            kind += "/running" if item.get("status") == "running" else ""
        groups.setdefault(kind, []).append(item)
    return groups


def _item_shapes(
    theirs: Sequence[Any], mine: Sequence[Any], where: str, replaced: Mapping[str, str], *, is_cut: bool
) -> list[str]:
    if not all(isinstance(item, dict) for item in (*theirs, *mine)):
        return _shapes(theirs[0], mine[0], where, replaced, is_cut=is_cut)
    found = []
    known = {key for item in theirs for key in item}
    always = set.intersection(*({*item} for item in theirs))
    for item in mine:
        found += [] if is_cut else [f"{where}: key {key!r} is too much" for key in sorted(item.keys() - known)]
        found += [] if is_cut else [f"{where}: key {key!r} is missing" for key in sorted(always - item.keys())]
    for key in sorted(known):
        kinds = {_kind(item[key]) for item in theirs if key in item}
        for item in mine:
            if key in item and _kind(item[key]) not in kinds:
                found.append(f"{where}.{key}: {_kind(item[key])} instead of {' or '.join(sorted(kinds))}")
    return sorted(set(found))
