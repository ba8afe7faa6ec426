"""Say of a shell command whether it only reads: every program it would run is on a list, with what it may be told.

The list errs on one side. A command that is not on it is not forbidden: it is asked when a check asks it, and only not
sent ahead of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from harness.remote.shell_words import NotUnderstood, Simple, parse_programs, words_of

Arguments = tuple[str, ...]
May = Callable[[Arguments], bool]
# Longer than anything a check asks; what somebody put into a file of ours may be.
LONGEST = 20_000
FOLDERS = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin"})
_COPIED = re.compile(r"\d?[<>]&")


def only_reads(command: str, known: Iterable[str] = ()) -> bool:
    """Whether `command` can be run unasked. `known` are scripts of this tool, whatever is in them, word for word."""
    trusted = frozenset(known)
    if command in trusted:
        return True
    return len(command) <= LONGEST and "\0" not in command and _is_plain(command, trusted)


def _is_plain(command: str, known: frozenset[str]) -> bool:
    """Words as they stand only: what a variable or a pattern would become is decided over there."""
    try:
        programs = parse_programs(command)
    except (NotUnderstood, RecursionError):
        return False
    plain = all(word.literal and not word.globbed and not _is_device(word.text) for word in words_of(programs))
    return bool(programs) and plain and all(_reads(one, known) for one in programs)


def _is_device(text: str) -> bool:
    """To open a device can be to switch it on, as it is for a watchdog."""
    return "dev" in PurePosixPath(text).parts and text != "/dev/null"


def _reads(one: Simple, known: frozenset[str]) -> bool:
    if one.assigned or one.here is not None or not one.words:
        return False
    if not all(_is_harmless(operator, str(target)) for operator, target in one.redirected):
        return False
    program, *arguments = map(str, one.words)
    return may_run(program, tuple(arguments), lambda script: script in known or _is_plain(script, known))


def _is_harmless(operator: str, target: str) -> bool:
    if operator.endswith("<"):
        return True
    return target == "/dev/null" or bool(_COPIED.fullmatch(operator) and target.isdigit())


def may_run(program: str, arguments: Arguments, may_run_script: Callable[[str], bool]) -> bool:
    """Whether the list lets this program be told this."""
    place = PurePosixPath(program)
    name = place.name if str(place.parent) in FOLDERS else program
    match name, arguments:
        case "sudo", ("-n", "-u", _, *rest) | ("-n", *rest) if rest:
            return may_run(rest[0], tuple(rest[1:]), may_run_script)
        case (("sh" | "bash"), ("-c", script, *_)):
            return may_run_script(script)
        case _:
            return name in PROGRAMS and PROGRAMS[name](arguments)


def _anything(_: Arguments) -> bool:
    return True


def _only(pattern: str) -> May:
    """Every argument that looks like an option has to look like one of these."""
    allowed = re.compile(pattern)
    return lambda arguments: all(allowed.fullmatch(one) for one in arguments if one.startswith("-"))


def _without(pattern: str) -> May:
    refused = re.compile(pattern)
    return lambda arguments: not any(refused.match(one) for one in arguments)


def _verb(*verbs: str, options: str = r"(?!)", then: May = _anything) -> May:
    """The first argument after some plain options says what is done."""
    skipped = re.compile(options)

    def may(arguments: Arguments) -> bool:
        rest = list(arguments)
        while rest and skipped.fullmatch(rest[0]):
            rest.pop(0)
        return bool(rest) and rest[0] in verbs and then(tuple(rest[1:]))

    return may


def _shows(*objects: str) -> May:
    """iproute2: an object, and then nothing or `show`."""

    def may(arguments: Arguments) -> bool:
        return not arguments or arguments[0] in ("show", "list", "ls", "get")

    return _verb(*objects, options=r"-(j|json|4|6|o|d|s|br|details|oneline)|--json|--oneline", then=may)


def _is_rules_listing(arguments: Arguments) -> bool:
    return bool({"-S", "-L"} & set(arguments)) and _only(r"-[SLnvwt]|-nL|-vnL|--line-numbers")(arguments)


def _is_known_date(arguments: Arguments) -> bool:
    return all(one.startswith("+") or one in ("-u", "--utc", "-R") for one in arguments)


_HOSTNAME = _only(r"-[fsdiIA]|--fqdn|--short|--domain|--all-ip-addresses")

# Whatever these are told, they only look.
LOOKING = re.findall(
    r"\S+",
    """
    arch base64 basename cat cksum cut df dirname dpkg-query du egrep fgrep findmnt free getent getfacl grep groups
    head id ls lsattr lsb_release lsblk lscpu lsmod md5sum netstat nproc pgrep ps pveversion readlink realpath sha1sum
    sha256sum sha512sum sleep stat systemd-detect-virt tr uname uptime wc which who whoami
    """,
)

_RPM = _only(r"-q[ai]?|--(quiet|all|info|list)|--(queryformat|qf)(=.*)?|-[afl]")

PROGRAMS: Mapping[str, May] = {
    **dict.fromkeys(
        # The shell's own, which change only the shell that ends with the command.
        (":", "[", "break", "cd", "continue", "echo", "exit", "false", "printf", "read", "set", "test", "true"),
        _anything,
    ),
    **dict.fromkeys(
        LOOKING,
        _anything,
    ),
    "apt-cache": _verb(
        "policy", "show", "showpkg", "madison", "depends", "rdepends", then=_without(r"-\w*[oc]|--(o|c)")
    ),
    "apt-get": _verb("indextargets", then=_only(r"--no-release-info|--format")),
    "apt-mark": _verb("showhold", "showmanual", "showauto", then=_only(r"(?!)")),
    "blockdev": _only(r"--(report|get\w+)"),
    "bridge": _shows("fdb", "link", "vlan", "mdb"),
    "chronyc": _verb("sources", "sourcestats", "tracking", "waitsync", "activity", options=r"-[cnN]"),
    "command": _verb("-v", "-V"),
    "crontab": lambda arguments: arguments == ("-l",),
    "date": _is_known_date,
    "docker": _verb("inspect", "ps", "images", "version", "info"),
    "dpkg": _only(r"-[lsLSpVW]|--(print-architecture|get-selections|verify|compare-versions|list|status)"),
    "env": lambda arguments: set(arguments) <= {"-0"},
    "find": _without(r"-(delete|exec|ok|fprint|fls)"),
    "hostname": lambda arguments: all(one.startswith("-") for one in arguments) and _HOSTNAME(arguments),
    "hostnamectl": _verb("status"),
    "ip": _shows("addr", "address", "link", "route", "rule", "neigh", "neighbour"),
    **dict.fromkeys(("iptables", "ip6tables"), _is_rules_listing),
    **dict.fromkeys(("iptables-save", "ip6tables-save"), _only(r"-[tc]")),
    "lspci": _only(r"-[snmkvDd]+"),
    **dict.fromkeys(
        ("lvs", "vgs", "pvs"), _only(r"-[oaS]|--(noheadings|units|reportformat|separator|options|nosuffix)")
    ),
    "mount": lambda arguments: set(arguments) <= {"-l"},
    "nft": _verb("list", options=r"-[jan]+", then=_without(r"(?s).*[;\n]")),
    **dict.fromkeys(
        ("pip", "pip3"), _verb("show", "check", "list", "freeze", then=_only(r"-o|--(outdated|no-index|format.*)"))
    ),
    "podman": _verb("inspect", "ps", "images", "version", "info"),
    "pvesh": _verb("get"),
    "pvesm": _verb("status", "list"),
    "qm": _verb("config", "status", "list", "pending"),
    "rpm": lambda arguments: arguments[:1] in (("-q",), ("-qa",), ("-qi",)) and _RPM(arguments),
    "sort": _without(r"-\w*[oT]|--(o|c|t|f)"),
    "ss": _without(r"-\w*[KDF]|--(k|diag|f)"),
    "sshd": _verb("-T", then=_only(r"-C")),
    "supervisorctl": _verb("status"),
    "sysctl": lambda arguments: not any("=" in one for one in arguments) and _only(r"-[neNab]+")(arguments),
    "systemctl": _verb(
        *("is-active", "is-enabled", "is-failed", "is-system-running", "show", "cat", "status", "get-default"),
        *("list-units", "list-unit-files", "list-timers", "list-sockets", "list-dependencies"),
        options=r"--no-pager|--quiet|-q",
        then=_without(r"-\w*[HM]|--(h|m|root|image)"),
    ),
    "tail": _without(r"-\w*[fF]|--(f|r|p)"),
    "timedatectl": _verb("show", "status"),
    "uniq": lambda arguments: all(one.startswith("-") for one in arguments),
    "zfs": _verb("list", "get"),
    "zpool": _verb("list", "status", "get"),
}
