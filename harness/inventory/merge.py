"""Give each host the variables that Ansible would give it, and know where each one comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract import Declared
from harness.inventory.positions import Document, read_document
from harness.inventory.problems import KeyPath, Problem, error, shown, warning

# What Ansible skips when it looks for sources in an inventory folder (INVENTORY_IGNORE_EXTS and its fixed patterns).
_IGNORED = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$|~$|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$"
)
_YAML_EXTENSIONS = (".yml", ".yaml", ".json")
_RANGE = re.compile(r"\[([^\[\]:]+):([^\[\]:]+)(?::(\d+))?\]")
_PORT = re.compile(r"^([^:\[\]]+|.*\]):(\d+)$")


@dataclass(frozen=True)
class Variable:
    """One variable of a host: its value, and the document that gave it (`prefix` is its path there)."""

    value: Any
    document: Document
    prefix: KeyPath

    def at(self, path: KeyPath = ()) -> Declared:
        return self.document.at((*self.prefix, *path))


Variables = dict[str, Variable]


@dataclass(frozen=True)
class RawHost:
    """A host with its merged variables; `unread` says that a file of it could not be read and values are missing."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Variable]
    entries: Mapping[str, Declared]  # group -> where the host is entered
    declared: Declared
    unread: bool


@dataclass(frozen=True)
class RawSite:
    """A site folder as Ansible would see it; `variables` are those of the group `all`."""

    name: str
    folder: Path
    variables: Mapping[str, Variable]
    hosts: Mapping[str, RawHost]
    problems: tuple[Problem, ...]
    unread: bool

    def anchor(self) -> Declared:
        """Where to point when a variable of the whole site is not there."""
        sources = list(inventory_sources(self.folder))
        return Declared(sources[0] if sources else self.folder, 1)


@dataclass
class _Group:
    name: str
    variables: Variables = field(default_factory=dict)
    children: set[str] = field(default_factory=set)
    hosts: dict[str, Declared] = field(default_factory=dict)
    priority: int = 1
    depth: int = 0


def read_site(folder: Path) -> RawSite:
    """Read and merge one site folder."""
    return _SiteReader(folder).read()


def inventory_sources(folder: Path) -> Iterator[Path]:
    """The files of `folder` that Ansible would parse as inventory, in its order."""
    for entry in sorted(folder.iterdir(), key=lambda path: path.name):
        if _IGNORED.search(entry.name):
            continue
        if entry.is_dir():
            yield from inventory_sources(entry)
        else:
            yield entry


class _SiteReader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.groups: dict[str, _Group] = {"all": _Group("all"), "ungrouped": _Group("ungrouped")}
        self.host_variables: dict[str, Variables] = {}
        self.problems: list[Problem] = []
        self.unread_files: set[Path] = set()
        self.documents: dict[Path, Document] = {}

    def read(self) -> RawSite:
        for source in inventory_sources(self.folder):
            self._read_source(source)
        if self.unread_files:
            return RawSite(self.folder.name, self.folder, {}, {}, tuple(self.problems), unread=True)
        self._set_depths()
        found, unread = self._from_files("group_vars", "all")
        everywhere = {**self.groups["all"].variables, **found}
        hosts = {name: self._host(name) for name in self.host_variables}
        self._report_unused()
        return RawSite(self.folder.name, self.folder, everywhere, hosts, tuple(self.problems), unread)

    # Sources: groups, hosts and the variables written beside them.

    def _read_source(self, source: Path) -> None:
        if source.suffix and source.suffix not in _YAML_EXTENSIONS:
            at = Declared(source, 1)
            self.problems.append(
                warning(at, (), found="an inventory source that is not YAML", expected="YAML", hint="it was not read")
            )
            return
        document = self._document(source)
        if "plugin" in document.data:
            at = document.at(("plugin",))
            self.problems.append(
                warning(at, ("plugin",), found="a plugin configuration", expected="hosts", hint="it was not read")
            )
            return
        for name, body in document.data.items():
            self._read_group(document, str(name), body, (name,))

    def _read_group(self, document: Document, name: str, body: Any, path: KeyPath) -> None:
        group = self.groups.setdefault(name, _Group(name))
        if not isinstance(body, dict | None):
            self._wrong(document, path, body, "a group (a mapping with hosts, children and vars) or nothing")
            return
        for section, content in (body or {}).items():
            here = (*path, section)
            if section not in {"hosts", "children", "vars"}:
                self._wrong(document, here, content, "hosts, children or vars in a group", key=str(section))
            elif isinstance(content, str) and section != "vars":
                self._read_section(document, group, section, {content: None}, here)
            elif isinstance(content, dict | None):
                self._read_section(document, group, section, content or {}, here)
            else:
                self._wrong(document, here, content, f"a mapping of {section}")

    def _read_section(
        self, document: Document, group: _Group, section: str, body: dict[Any, Any], path: KeyPath
    ) -> None:
        for key, value in body.items():
            here = (*path, key)
            if section == "vars":
                if key == "ansible_group_priority":
                    group.priority = int(value)
                else:
                    group.variables[str(key)] = Variable(value, document, here)
            elif section == "children":
                group.children.add(str(key))
                self._read_group(document, str(key), value, here)
            else:
                self._read_host(document, group, str(key), value, here)

    def _read_host(self, document: Document, group: _Group, pattern: str, body: Any, path: KeyPath) -> None:
        if not isinstance(body, dict | None):
            self._wrong(document, path, body, "a mapping of variables or nothing")
            return
        names, port = expand_pattern(pattern)
        for name in names:
            group.hosts.setdefault(name, document.at(path))
            variables = self.host_variables.setdefault(name, {})
            if port is not None:
                variables["ansible_port"] = Variable(port, document, path)
            for key, value in (body or {}).items():
                variables[str(key)] = Variable(value, document, (*path, key))

    # Merging: all, then the host's groups by depth, priority and name, then the host itself.

    def _set_depths(self) -> None:
        """The longest way down from `all`; a group that hangs nowhere hangs below `all`, as in Ansible."""
        nested = {child for group in self.groups.values() for child in group.children}
        top = self.groups["all"]
        top.children |= {name for name in self.groups if name not in nested} - {"all"}
        self._sink(top, 0, ())

    def _sink(self, group: _Group, depth: int, trail: tuple[str, ...]) -> None:
        if group.name in trail:
            at = Declared(next(iter(inventory_sources(self.folder))), 1)
            loop = " > ".join((*trail, group.name))
            self.problems.append(
                error(at, (group.name,), found=f"groups in a circle ({loop})", expected="a tree of groups")
            )
            return
        if depth < group.depth:
            return
        group.depth = depth
        for child in group.children:
            self._sink(self.groups[child], depth + 1, (*trail, group.name))

    def _host(self, name: str) -> RawHost:
        groups = self._groups_of(name)
        top = self.groups["all"]
        merged: Variables = {}
        # Ansible's default precedence: for all groups what stands in the source, then what stands in files.
        for group in (top, *groups):
            merged.update(group.variables)
        unread = False
        for group in (top, *groups):
            found, failed = self._from_files("group_vars", group.name)
            merged.update(found)
            unread |= failed
        merged.update(self.host_variables[name])
        found, failed = self._from_files("host_vars", name)
        merged.update(found)
        entries = {group.name: group.hosts[name] for group in self.groups.values() if name in group.hosts}
        names = tuple(group.name for group in groups)
        return RawHost(name, names, merged, entries, next(iter(entries.values())), unread or failed)

    def _groups_of(self, name: str) -> list[_Group]:
        member = {group.name for group in self.groups.values() if name in group.hosts}
        grown = True
        while grown:
            parents = {group.name for group in self.groups.values() if group.children & member}
            grown = not parents <= member
            member |= parents
        if member - {"all", "ungrouped"}:
            member.discard("ungrouped")
        else:
            member.add("ungrouped")
        found = [self.groups[group] for group in member if group != "all"]
        return sorted(found, key=lambda group: (group.depth, group.priority, group.name))

    def _from_files(self, folder: str, name: str) -> tuple[Variables, bool]:
        merged: Variables = {}
        files = list(vars_files(self.folder / folder, name))
        for file in files:
            document = self._document(file)
            merged.update({str(key): Variable(value, document, (key,)) for key, value in document.data.items()})
        return merged, any(file in self.unread_files for file in files)

    def _document(self, file: Path) -> Document:
        if file not in self.documents:
            document = read_document(file)
            self.documents[file] = document
            self.problems.extend(document.problems)
            if not document.readable:
                self.unread_files.add(file)
        return self.documents[file]

    # What Ansible would skip without a word.

    def _report_unused(self) -> None:
        known = {"group_vars": self.groups.keys(), "host_vars": self.host_variables.keys()}
        for folder, names in known.items():
            for entry in _entries(self.folder / folder):
                name = entry.name if entry.is_dir() else entry.stem
                files = list(vars_files(self.folder / folder, name))
                if name not in names:
                    self._report_nobodys(files, "host" if folder == "host_vars" else "group", name)
                elif entry.is_file() and entry.suffix in _YAML_EXTENSIONS and entry not in files:
                    at = Declared(entry, 1)
                    self.problems.append(
                        warning(at, (), found=f"a file that {files[0].name} hides", expected="one of the two")
                    )

    def _report_nobodys(self, files: Iterable[Path], kind: str, name: str) -> None:
        for file in files:
            document = self._document(file)
            ours = next((key for key in document.data if str(key).startswith("mgmt_")), None)
            if ours is not None:
                at = document.at((ours,))
                hint = "add it to hosts.yml or rename the file"
                self.problems.append(
                    error(
                        at,
                        (ours,),
                        found=f"variables for the unknown {kind} {name!r}",
                        expected=f"a {kind} of the site",
                        hint=hint,
                    )
                )

    def _wrong(self, document: Document, path: KeyPath, value: Any, expected: str, *, key: str | None = None) -> None:
        found = f"the key {key!r}" if key else shown(value)
        report = warning if key else error  # Ansible skips a key it does not know, with a warning
        self.problems.append(report(document.at(path), path, found=found, expected=expected))


def vars_files(folder: Path, name: str) -> Iterator[Path]:
    """The files of one group or host: a folder hides a file of the same name, as in Ansible."""
    for extension in ("", *_YAML_EXTENSIONS):
        found = folder / f"{name}{extension}"
        if found.is_dir():
            yield from _folder_files(found)
            return
        if found.exists():
            yield found
            return


def _folder_files(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.is_dir():
            if not entry.suffix:
                yield from _folder_files(entry)
        elif not entry.suffix or entry.suffix in _YAML_EXTENSIONS:
            yield entry


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(folder.iterdir(), key=lambda path: path.name)
    return [entry for entry in found if not entry.name.startswith(".") and not entry.name.endswith("~")]


def expand_pattern(pattern: str) -> tuple[list[str], int | None]:
    """`web[01:03]:2222` as its host names and its port."""
    port = None
    if has_port := _PORT.match(pattern):
        pattern, port = has_port[1], int(has_port[2])
    names = [pattern]
    while any(_RANGE.search(name) for name in names):
        names = [made for name in names for made in _expand_first(name)]
    return names, port


def _expand_first(name: str) -> Iterator[str]:
    found = _RANGE.search(name)
    if not found:
        yield name
        return
    first, last, step = found[1], found[2], int(found[3] or 1)
    if first.isdigit() and last.isdigit():
        values = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1, step)]
    else:
        values = [chr(code) for code in range(ord(first[0]), ord(last[0]) + 1, step)]
    for value in values:
        yield f"{name[: found.start()]}{value}{name[found.end() :]}"
