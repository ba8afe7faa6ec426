"""Give each host the variables that Ansible would give it, and know where each one comes from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract import Declared
from harness.inventory.positions import Document, read_document
from harness.inventory.problems import KeyPath, Problem, error, shown, warning
from harness.inventory.sources import (
    YAML_EXTENSIONS,
    expand_pattern,
    folder_entries,
    inventory_sources,
    vars_files,
    vars_root,
)


@dataclass(frozen=True)
class Variable:
    """One variable of a host: its value, and the document that gave it (`prefix` is its path there)."""

    value: Any
    document: Document
    prefix: KeyPath

    @property
    def doubtful(self) -> bool:
        """Whether a doubled key has cost it a part: then nothing is concluded from what is left."""
        return self.prefix[0] in self.document.doubtful

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


def read_site(folder: Path, over: Path | None = None) -> RawSite:
    """Read and merge one site folder; `over` is a file of variables by host that win over the host's own."""
    return _SiteReader(folder, over).read()


class _SiteReader:
    def __init__(self, folder: Path, over: Path | None) -> None:
        self.folder = folder
        self.over = over
        self.groups: dict[str, _Group] = {"all": _Group("all"), "ungrouped": _Group("ungrouped")}
        self.host_variables: dict[str, Variables] = {}
        self.problems: list[Problem] = []
        self.unread_files: set[Path] = set()
        self.documents: dict[Path, Document] = {}
        self.files: dict[tuple[Path, str], tuple[Path, ...]] = {}  # of a group or host
        self.found: dict[tuple[str, str], tuple[Variables, bool]] = {}  # in those files
        self.nameless: list[str] = []  # described with keys of ours, entered nowhere
        self.lost_groups: list[str] = []  # with variables of ours, so every host may miss some
        self.misnamed: set[str] = set()  # entered, and described under another name

    def read(self) -> RawSite:
        for source in inventory_sources(self.folder):
            self._read_source(source)
        if self.unread_files:
            return RawSite(self.folder.name, self.folder, {}, {}, tuple(self.problems), unread=True)
        self._set_depths()
        sources_wrong = any(problem.severity == "error" for problem in self.problems)
        if not sources_wrong:
            self._find_misnamed()
            self._find_lost_groups()
        found, unread = self._from_files("group_vars", "all")
        everywhere = {**self.groups["all"].variables, **found}
        hosts = {name: self._host(name) for name in self.host_variables}
        if not sources_wrong:
            self._report_unused()
        unsure = unread or sources_wrong or bool(self.nameless)
        return RawSite(self.folder.name, self.folder, everywhere, hosts, tuple(self.problems), unsure)

    # Sources: groups, hosts and the variables written beside them.

    def _read_source(self, source: Path) -> None:
        if source.suffix and source.suffix not in YAML_EXTENSIONS:
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
                    self._set_priority(document, group, value, here)
                else:
                    group.variables[str(key)] = Variable(value, document, here)
            elif section == "children":
                group.children.add(str(key))
                self._read_group(document, str(key), value, here)
            else:
                self._read_host(document, group, str(key), value, here)

    def _set_priority(self, document: Document, group: _Group, value: Any, path: KeyPath) -> None:
        try:
            group.priority = int(value)
        except (TypeError, ValueError):
            self._wrong(document, path, value, "a whole number")

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
        merged.update(self._from_over(name))
        entries = {group.name: group.hosts[name] for group in self.groups.values() if name in group.hosts}
        names = tuple(group.name for group in groups)
        unread |= failed or bool(self.lost_groups) or name in self.misnamed
        return RawHost(name, names, merged, entries, next(iter(entries.values())), unread)

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
        """The variables, and whether a file could not be read; a group is asked for by each of its hosts."""
        if (folder, name) not in self.found:
            merged: Variables = {}
            files = self._vars_files(self.folder / folder, name)
            for file in files:
                document = self._document(file)
                merged.update({str(key): Variable(value, document, (key,)) for key, value in document.data.items()})
            self.found[folder, name] = merged, any(file in self.unread_files for file in files)
        return self.found[folder, name]

    def _vars_files(self, folder: Path, name: str) -> tuple[Path, ...]:
        if (folder, name) not in self.files:
            self.files[folder, name] = tuple(vars_files(folder, name))
        return self.files[folder, name]

    def _from_over(self, name: str) -> Variables:
        if self.over is None:
            return {}
        document = self._document(self.over)
        said = document.data.get(name, {})
        return {str(key): Variable(value, document, (name, key)) for key, value in said.items()}

    def _document(self, file: Path) -> Document:
        if file not in self.documents:
            document = read_document(file)
            self.documents[file] = document
            self.problems.extend(document.problems)
            if not document.readable:
                self.unread_files.add(file)
        return self.documents[file]

    # What Ansible would skip without a word.

    def _find_misnamed(self) -> None:
        """A host without variables beside variables without a host: one of the two names is a slip of the pen."""
        folder = self.folder / "host_vars"
        unknown = [name for name in self._described(folder) if name not in self.host_variables]
        self.nameless = [name for name in unknown if self._ours_in(folder, name)]
        bare = [
            name for name, inline in self.host_variables.items() if not inline and not self._vars_files(folder, name)
        ]
        for name in list(self.nameless):
            near = difflib.get_close_matches(name, bare, n=1)
            if near:
                self.misnamed.add(near[0])
                self.nameless.remove(name)
                at = next(group.hosts[near[0]] for group in self.groups.values() if near[0] in group.hosts)
                file = self._vars_files(folder, name)[0]
                found = f"the host {near[0]!r} without variables"
                hint = f"{file} belongs to no host: rename one of the two"
                self.problems.append(error(at, (near[0],), found=found, expected=f"{name!r}", hint=hint))

    def _find_lost_groups(self) -> None:
        folder = self.folder / "group_vars"
        unknown = [name for name in self._described(folder) if name not in self.groups]
        self.lost_groups = [name for name in unknown if self._ours_in(folder, name)]

    def _report_unused(self) -> None:
        for name in self.nameless:
            self._report_nobodys(self.folder / "host_vars", "host", name)
        for name in self.lost_groups:
            self._report_nobodys(self.folder / "group_vars", "group", name)
        for folder, names in (("group_vars", self.groups.keys()), ("host_vars", self.host_variables.keys())):
            self._report_hidden(self.folder / folder, names)

    def _described(self, folder: Path) -> list[str]:
        names = (entry.name if entry.is_dir() else entry.stem for entry in folder_entries(folder))
        return [name for name in dict.fromkeys(names) if self._vars_files(folder, name)]

    def _ours_in(self, folder: Path, name: str) -> Variable | None:
        """The first key of ours that the files hold."""
        for file in self._vars_files(folder, name):
            document = self._document(file)
            for key, value in document.data.items():
                if str(key).startswith("mgmt_"):
                    return Variable(value, document, (key,))
        return None

    def _report_nobodys(self, folder: Path, kind: str, name: str) -> None:
        if ours := self._ours_in(folder, name):
            hint = "add it to hosts.yml or rename the file"
            found = f"variables for the unknown {kind} {name!r}"
            self.problems.append(
                error(ours.at(), ours.prefix, found=found, expected=f"a {kind} of the site", hint=hint)
            )

    def _report_hidden(self, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            files = self._vars_files(folder, name)
            for extension in YAML_EXTENSIONS:
                hidden = folder / f"{name}{extension}"
                if files and hidden.is_file() and hidden not in files:
                    found = f"a file that {vars_root(folder, name)} hides"
                    self.problems.append(warning(Declared(hidden, 1), (), found=found, expected="one of the two"))

    def _wrong(self, document: Document, path: KeyPath, value: Any, expected: str, *, key: str | None = None) -> None:
        found = f"the key {key!r}" if key else shown(value)
        report = warning if key else error  # Ansible skips a key it does not know, with a warning
        self.problems.append(report(document.at(path), path, found=found, expected=expected))
