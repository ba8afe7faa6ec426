"""Read what a running dnsmasq was given: from its command line through its files to reservations and leases."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from posixpath import normpath

from harness import errors
from harness.contract import Mac, Record, Reservation
from harness.routers.observed import Lease, ObservedRouter, Run

DEFAULT_CONFIG = "/etc/dnsmasq.conf"
# What Debian's and Fedora's packages use where no line names a file.
DEFAULT_LEASES = ("/var/lib/misc/dnsmasq.leases", "/var/lib/dnsmasq/dnsmasq.leases")
# Configuration files may name more of them; deeper than this they name each other.
DEEPEST = 8
NOT_ALLOWED = 77
RECORD_OPTIONS = ("host-record", "cname", "address")

_SHORT = {"-C": "conf-file", "-7": "conf-dir", "-H": "addn-hosts", "-G": "dhcp-host", "-l": "dhcp-leasefile"}
_SHORT_FLAGS = {"-h": "no-hosts"}
_MAC = re.compile(r"(?:[0-9a-f]{1,2}-)?((?:[0-9a-f]{2}:){5}[0-9a-f]{2})")
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")
_NO_NAME = re.compile(r"(id:|set:|tag:|net:|\[|ignore$|infinite$|\d+[smhdw]?$|.*\*)")

# Every dnsmasq of this network namespace, one argument a line and an empty line after each process. Other namespaces
# (containers, libvirt) serve other networks.
FIND_COMMAND = f"""\
me=$(readlink /proc/self/ns/net) || exit 1
for d in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$d/comm" && [ "$name" = dnsmasq ] || continue
    if ns=$(readlink "$d/ns/net"); then
        [ "$ns" = "$me" ] || continue
        tr '\\0' '\\n' <"$d/cmdline" && echo
    elif [ -d "$d" ]; then
        exit {NOT_ALLOWED}
    fi
done
exit 0"""

# "path base64" for each file, "path -" for one that is not there; a folder gives the files in it.
READ_SCRIPT = f"""\
for path do
    if [ -d "$path" ]; then set -- "$path"/*; else set -- "$path"; fi
    for file do
        [ -d "$file" ] && continue
        if [ -e "$file" ]; then text=$(base64 <"$file") || exit {NOT_ALLOWED}; else text=-; fi
        printf '%s\\t%s\\n' "$file" "$(printf %s "$text" | tr -d '\\n')"
    done
done"""


@dataclass
class _Found:
    """What the files said so far, in dnsmasq's own words."""

    lines: dict[str, list[str]] = field(default_factory=dict)  # option -> values
    sources: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # configuration files by path

    def values(self, *options: str) -> list[str]:
        return [value for option in options for value in self.lines.get(option, [])]


@dataclass(frozen=True)
class Served:
    """The files of one running dnsmasq, each by its path, and the command line that led to them."""

    arguments: tuple[str, ...]
    sources: tuple[str, ...]  # configuration files, and folders they are looked for in
    config: Mapping[str, str]
    reservations: Mapping[str, str]
    names: Mapping[str, str]


def observe(router: str, run: Run) -> ObservedRouter:
    """The reservations, leases and records of the dnsmasq that runs on `router`, asked through `run`."""
    found = _follow_config(router, run, _processes(router, run))
    hosts_files, dns_files = _named_files(found)
    lease_files = found.values("dhcp-leasefile", "dhcp-lease-file")[-1:] or list(DEFAULT_LEASES)
    texts = read_files(router, run, [*hosts_files, *dns_files, *lease_files])

    def lines_of(paths: Iterable[str]) -> list[str]:
        return [line for path in paths for text in _below(texts, path).values() for line in clean_lines(text)]

    return ObservedRouter(
        reservations=tuple(
            r for line in [*found.values("dhcp-host"), *lines_of(hosts_files)] for r in parse_host(line)
        ),
        leases=tuple(lease for line in lines_of(lease_files) if (lease := parse_lease(line)) is not None),
        records=(*(r for line in lines_of(dns_files) for r in parse_hosts_line(line)), *_records(found)),
        sources=(*found.sources, *texts),
    )


def read_served(router: str, run: Run) -> list[Served]:
    """The same files as texts, for each dnsmasq that runs on `router`."""
    served = []
    for process in _processes(router, run):
        found = _follow_config(router, run, [process])
        hosts_files, dns_files = _named_files(found)
        texts = read_files(router, run, [*hosts_files, *dns_files])
        reservations = {name: text for path in hosts_files for name, text in _below(texts, path).items()}
        names = {name: text for path in dns_files for name, text in _below(texts, path).items()}
        served.append(Served(process, tuple(found.sources), dict(found.texts), reservations, names))
    return served


def _named_files(found: _Found) -> tuple[list[str], list[str]]:
    """Where the configuration says that reservations and names stand."""
    own = [] if "no-hosts" in found.lines else ["/etc/hosts"]
    return found.values("dhcp-hostsfile", "dhcp-hostsdir"), [*found.values("addn-hosts", "hostsdir"), *own]


def _follow_config(router: str, run: Run, processes: Iterable[tuple[str, ...]]) -> _Found:
    found = _Found()
    pending: list[str] = []
    for process in processes:
        options = list(parse_arguments(process))
        given = [value for option, value in options if option == "conf-file"]
        pending += given or [DEFAULT_CONFIG]
        pending += _note(found, options)
    for _ in range(DEEPEST):
        wanted = [path for path in dict.fromkeys(pending) if path not in found.sources]
        if not wanted:
            return found
        pending = _read_config(router, run, found, wanted)
    raise errors.Refused(
        tried="read dnsmasq's configuration",
        on=router,
        happened=f"its files name one another more than {DEEPEST} deep, last {', '.join(wanted)}",
        do="Look at conf-file and conf-dir in them",
    )


def _read_config(router: str, run: Run, found: _Found, wanted: list[str]) -> list[str]:
    """Read these files and folders into `found`; the files they name in turn are returned."""
    texts = read_files(router, run, [entry.partition(",")[0] for entry in wanted])
    found.sources += wanted
    named: list[str] = []
    for entry in wanted:
        folder, *patterns = entry.split(",")
        for path, text in texts.items():
            inside = path.startswith(normpath(folder) + "/")
            if path == normpath(folder) or (inside and is_read(path, patterns)):
                found.sources.append(path)
                found.texts[path] = text
                named += _note(found, [parse_option(line) for line in clean_lines(text)])
    return named


def _note(found: _Found, options: Iterable[tuple[str, str]]) -> list[str]:
    """Keep the options; those that name more configuration are returned instead."""
    named = []
    for option, value in options:
        if option in {"conf-file", "conf-dir"}:
            named.append(value)
        else:
            found.lines.setdefault(option, []).append(value)
    return named


def _processes(router: str, run: Run) -> list[tuple[str, ...]]:
    said = _asked(router, run, FIND_COMMAND, "find the running dnsmasq")
    processes = {tuple(part.split("\n")) for part in said.strip("\n").split("\n\n") if part.strip()}
    if processes:
        return sorted(processes)
    raise errors.Unreachable(
        tried="read the reservations and records",
        on=router,
        happened="no dnsmasq is running there",
        do="Start it there; what nobody has loaded is no reservation",
    )


def read_files(router: str, run: Run, paths: Iterable[str]) -> Mapping[str, str]:
    """The text of each file, by path; a file that is not there has none, as for dnsmasq itself."""
    wanted = list(dict.fromkeys(paths))
    if not wanted:
        return {}
    command = f"sh -c {shlex.quote(READ_SCRIPT)} sh {shlex.join(wanted)}"
    said = _asked(router, run, command, f"read {', '.join(wanted)}")
    pairs = (line.split("\t", 1) for line in said.splitlines())
    # A folder named with a slash at its end gives its files two of them; a file has one name here.
    return {normpath(path): base64.b64decode(text).decode("utf-8", "replace") for path, text in pairs if text != "-"}


def _asked(router: str, run: Run, command: str, tried: str) -> str:
    answer = run(command)
    if answer.rc == 0:
        return answer.stdout
    raise errors.Refused(
        tried=tried,
        on=router,
        happened=answer.stderr.strip() or f"the command ended with {answer.rc}",
        do="Log in there as root or as a user who may read dnsmasq's files",
    )


def _below(texts: Mapping[str, str], path: str) -> dict[str, str]:
    path = normpath(path)
    return {name: text for name, text in texts.items() if name == path or name.startswith(path + "/")}


def clean_lines(text: str) -> list[str]:
    """Lines that say something."""
    return [line for line in map(clean, text.splitlines()) if line]


def clean(line: str) -> str:
    """A line without its comment; dnsmasq takes # for one at a line's start and after a blank."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


def is_read(path: str, patterns: Iterable[str]) -> bool:
    """Whether dnsmasq reads this file of a conf-dir: `*.conf` is a must, any other ending a must not."""
    name = PurePosixPath(path).name
    if name.endswith("~") or name.startswith(".") or (name.startswith("#") and name.endswith("#")):
        return False
    wanted = [pattern for pattern in patterns if pattern.startswith("*")]
    unwanted = [pattern for pattern in patterns if pattern and not pattern.startswith("*")]
    matches = not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)
    return matches and not any(name.endswith(ending) for ending in unwanted)


def parse_option(line: str) -> tuple[str, str]:
    """`dhcp-host = …` as (option, value); a flag has an empty value."""
    option, _, value = line.partition("=")
    return option.strip(), value.strip().strip('"')


def parse_arguments(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """A command line as options; only those that lead to files, reservations or leases are understood."""
    words = list(arguments)[1:]
    long_names = {f"--{name}": name for name in _SHORT.values()}
    while words:
        word = words.pop(0)
        if word in _SHORT or word in long_names:
            # The value is the next word: "-C FILE", "--conf-file FILE".
            yield (_SHORT.get(word) or long_names[word], words.pop(0) if words else "")
        elif word[:2] in _SHORT:
            yield _SHORT[word[:2]], word[2:]
        elif word in _SHORT_FLAGS:
            yield _SHORT_FLAGS[word], ""
        elif word.startswith("--"):
            yield parse_option(word.removeprefix("--"))


def parse_host(line: str) -> tuple[Reservation, ...]:
    """The reservations of a `dhcp-host` value: one for each MAC that has an address."""
    fields = [part.strip() for part in line.lower().split(",")]
    macs = [Mac(match[1]) for part in fields if (match := _MAC.fullmatch(part))]
    addresses = [IPv4Address(part) for part in fields if _IPV4.fullmatch(part)]
    names = [
        part for part in fields if part and not (_MAC.fullmatch(part) or _IPV4.match(part) or _NO_NAME.match(part))
    ]
    if "ignore" in fields or not addresses:
        return ()
    return tuple(Reservation(mac, addresses[0], names[0] if names else "") for mac in macs)


def parse_hosts_line(line: str) -> tuple[Record, ...]:
    """The A records of a line of a hosts file; names without a dot are the machine's own."""
    address, *names = line.split()
    if not _IPV4.fullmatch(address):
        return ()
    return tuple(Record("A", _plain(name), address) for name in names if "." in name)


def parse_lease(line: str) -> Lease | None:
    """`expiry mac address name client-id`; None for the lines of DHCPv6.

    The client-id 01:MAC says no more than the MAC, and so does none.
    """
    fields = line.split()
    if len(fields) < 4 or not fields[0].isdigit() or not _IPV4.fullmatch(fields[2]):
        return None
    match = _MAC.fullmatch(fields[1].lower())
    name = None if fields[3] == "*" else fields[3].lower()
    mac = match[1] if match else fields[1].lower()
    client = fields[4].lower() if len(fields) > 4 else "*"
    return Lease(mac, fields[2], name, int(fields[0]) or None, None if client in {"*", f"01:{mac}"} else client)


def _records(found: _Found) -> Iterator[Record]:
    for option in RECORD_OPTIONS:
        for value in found.values(option):
            yield from parse_record_option(option, value)


def parse_record_option(option: str, value: str) -> tuple[Record, ...]:
    """The records that a line of the configuration file makes."""
    fields = [part.strip() for part in value.split(",")]
    if option == "host-record":
        addresses = [part for part in fields if _IPV4.fullmatch(part)]
        names = [part for part in fields if "." in part and not _IPV4.fullmatch(part)]
        return tuple(Record("A", _plain(name), address) for address in addresses for name in names)
    if option == "cname":
        *aliases, target = fields[:-1] if fields[-1].isdigit() else fields
        return tuple(Record("CNAME", _plain(alias), _plain(target)) for alias in aliases)
    if option == "address":
        *names, address = value.strip("/").split("/")
        return tuple(Record("A", _plain(name), address) for name in names) if _IPV4.fullmatch(address) else ()
    return ()


def _plain(name: str) -> str:
    return name.lower().rstrip(".")
