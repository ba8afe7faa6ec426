"""Only what reads is sent ahead of a check: a list of programs and verbs, and everything that is sent is on it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from testinfra.host import Host

from harness.probing import dhcp
from harness.remote.hosts import make_host
from harness.remote.reading import may_run, only_reads
from harness.remote.shell_words import NotUnderstood, Simple, parse_programs
from harness.remote.ssh import Result
from harness.routers.dnsmasq_files import FIND_COMMAND, READ_SCRIPT, read_files
from harness.verify import guest_facts, host_facts, host_setup, segment_facts
from harness.verify.memory import may_foresee
from tests import sites

READS = [
    "cat -- /etc/hostname",
    "dpkg-query -f '${Status} ${Version}' -W pve-manager",
    "rpm -q --quiet openssh-server 2>&1",
    'rpm -q --queryformat="%{VERSION}" openssh-server',
    "systemctl is-active ssh.service",
    'systemctl list-unit-files | grep -q "^ssh"',
    "sha256sum /etc/hosts | cut -d ' ' -f 1",
    "test -e /etc/x && cat /etc/x || echo none",
    "ip --json link show eth0",
    "ss --numeric --listening --tcp",
    "sysctl -n net.ipv4.ip_forward",
    "sudo -n -u root /bin/sh -c 'iptables -t nat -S'",
    "find -L /etc/rc3.d/ -name 'S??ssh'",
    "pvesh get /cluster/status --output-format json",
    "qm config 130 2>/dev/null",
]
WRITES = [
    "rm -rf /",
    "cat /etc/hosts > /etc/hosts.new",
    "cat /etc/hosts >>/tmp/x",
    "echo x | tee /etc/motd",
    "cat $(rm -f /etc/hosts)",
    'cat "$(reboot)"',
    "cat `reboot`",
    "true; reboot",
    "true && reboot",
    "true\nreboot",
    "true & reboot",
    "(reboot)",
    "{ reboot; }",
    "if true; then reboot; fi",
    "for x in 1; do reboot; done",
    "case x in x) reboot;; esac",
    "! reboot",
    "cat() { reboot; }; cat /etc/hosts",
    "PATH=/tmp cat /etc/hosts",
    "LD_PRELOAD=/tmp/x.so cat /etc/hosts",
    "x=reboot; $x",
    "/srv/cat /etc/hosts",
    "./cat /etc/hosts",
    "sh -c reboot",
    "sudo -n -u root /bin/sh -c reboot",
    "sudo reboot",
    "bash -c 'cat < /dev/null > /dev/tcp/198.18.99.1/22'",
    "systemctl restart ssh.service",
    "systemctl --host=other show ssh.service",
    "systemctl -H other is-active ssh.service",
    "sysctl -w net.ipv4.ip_forward=1",
    "sysctl net.ipv4.ip_forward=1",
    "ip link set eth0 down",
    "ip -batch /tmp/x",
    "ip netns exec x reboot",
    "ss -K dst 198.18.99.1",
    "ss --kill",
    "iptables -L -Z",
    "iptables -F",
    "nft list 'ruleset; flush ruleset'",
    "hostname other",
    "date -s 2020-01-01",
    "date 010100002020",
    "find / -delete",
    "find / -name x -exec rm {} ';'",
    "sort -o /etc/hosts /etc/hosts",
    "rpm -q --pipe reboot x",
    "rpm -e openssh-server",
    "apt-cache -o Dir::Etc=/tmp policy x",
    "apt-get install x",
    "apt-mark hold pve-manager",
    "pvesh create /nodes/hv01/qemu",
    "qm stop 130",
    "crontab -r",
    "uniq /etc/hosts /etc/motd",
    "env reboot",
    "eval reboot",
    "exec reboot",
    "xargs reboot",
    "awk 'BEGIN{system(\"reboot\")}'",
    "sed -i s/a/b/ /etc/hosts",
    "python3 -c 'import os'",
    "python3 - <<'E'\nimport os\nE",
]
# Nothing is written, and yet it is not for a run that nobody asked for it.
OPEN = [
    "cat /dev/watchdog",
    "cat /de?/watchdog",
    "cat /sys/../dev/watchdog",
    "cd /dev && cat watchdog",
    "cat $HOME/x",
    "cat ~/x",
]
NONSENSE = [
    "",
    "   ",
    "cat '",
    'cat "',
    "cat \\",
    "cat <<E\nE",
    "cat <(ls)",
    ")",
    "cat $((1))",
    "case x in",
    "cat\0x",
]


@pytest.mark.parametrize("command", READS)
def test_what_reads_may_be_sent_ahead(command: str) -> None:
    assert only_reads(command)


@pytest.mark.parametrize("command", [*WRITES, *OPEN, *NONSENSE, "cat " * 9000], ids=lambda text: text[:40])
def test_everything_else_may_not(command: str) -> None:
    assert not only_reads(command)


@pytest.mark.parametrize("command", WRITES[1:3] + WRITES[4:7])
def test_nor_behind_something_that_reads(command: str) -> None:
    assert not only_reads(f"cat /etc/hosts; {command}")
    assert not only_reads(f"sh -c {json.dumps(command)}")


# --- testinfra's own modules ---------------------------------------------------------------------------------------

# What a Debian says, as far as a module needs it to go on asking.
SAYS = {
    "uname -s": "Linux",
    "cat /etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "dpkg-query": "install ok installed 1.0",
    "getent": "root:x:0:0:root:/root:/bin/sh::",
    "stat": "0",
    "/usr/sbin/ip addr": "    inet 127.0.0.1/8 scope host lo",
    "/usr/sbin/ip --json": "[{}]",
    "cat /proc/mounts": "proc /proc proc rw 0 0",
    "id ": "0",
    "/usr/sbin/sysctl": "0",
    "systemctl show": "Id=ssh.service",
    "env": "A=b",
    "ps ": "PID COMMAND\n1 systemd",
    "blockdev": "RO RA SSZ BSZ StartSec Size Device\nrw 256 512 4096 0 1 /srv/disk",
    "docker": '[{"State": {}, "Config": {}}]',
    "podman": '[{"State": {}, "Config": {}}]',
    "sha256sum": "ab",
    "md5sum": "ab",
}
USES: Mapping[str, Callable[[Host], Any]] = {
    "addr": lambda host: (host.addr("hv01").is_resolvable, host.addr("hv01").ipv4_addresses),
    "blockdevice": lambda host: host.block_device("/srv/disk").size,
    "command": lambda host: (host.exists("sshd"), host.find_command("sshd")),
    "docker": lambda host: host.docker("web").inspect(),
    "environment": lambda host: host.environment(),
    "file": lambda host: [
        getattr(host.file("/etc/hosts"), name)
        for name in (
            *("exists", "is_file", "is_directory", "is_executable", "is_pipe", "is_socket", "is_symlink", "linked_to"),
            *("user", "uid", "group", "gid", "mode", "mtime", "size", "inode", "md5sum", "sha256sum", "content_string"),
        )
    ],
    "listing": lambda host: (host.file("/etc").listdir(), host.file("/etc/hosts").contains("local")),
    "group": lambda host: (host.group("root").exists, host.group("root").gid, host.group("root").members),
    "interface": lambda host: (host.interface("lo").exists, host.interface("lo").speed, host.interface("lo").addresses),
    "interfaces": lambda host: (host.interface.names(), host.interface.default()),
    "iptables": lambda host: host.iptables.rules("nat"),
    "mount_point": lambda host: (host.mount_point("/proc").exists, host.mount_point.get_mountpoints()),
    "package": lambda host: (host.package("ssh").is_installed, host.package("ssh").version),
    "pip": lambda host: (host.pip("x").is_installed, host.pip("x").version),
    "podman": lambda host: host.podman("web").inspect(),
    "process": lambda host: host.process.filter(comm="systemd"),
    "service": lambda host: [
        getattr(host.service("ssh"), name)
        for name in ("exists", "is_running", "is_enabled", "is_masked", "systemd_properties")
    ],
    "socket": lambda host: (host.socket("tcp://22").is_listening, host.socket.get_listening_sockets()),
    "supervisor": lambda host: host.supervisor("web").is_running,
    "/usr/sbin/sysctl": lambda host: host.sysctl("net.ipv4.ip_forward"),
    "system_info": lambda host: (host.system_info.distribution, host.system_info.arch),
    "user": lambda host: [
        getattr(host.user("root"), name)
        for name in ("exists", "uid", "gid", "group", "gids", "groups", "home", "shell", "gecos", "password")
    ],
}


def asked_by(use: Callable[[Host], Any]) -> list[str]:
    asked: list[str] = []

    def answer(command: str, *, stdin: str | None = None) -> Result:
        asked.append(command)
        command = shlex.split(command)[-1] if command.startswith("sudo ") else command
        if command.startswith("command -v "):
            return Result(0, f"/usr/sbin/{command.rpartition(' ')[2]}\n", "")
        said = next((text for start, text in SAYS.items() if command.startswith(start)), "")
        return Result(0, f"{said}\n" if said else "", "")

    with suppress(AssertionError, RuntimeError, ValueError, IndexError, KeyError, TypeError, AttributeError):
        use(make_host(answer, "hv01"))
    return asked


@pytest.mark.parametrize("module", USES)
def test_testinfras_own_modules_only_read(module: str) -> None:
    asked = asked_by(USES[module])
    assert asked
    assert [command for command in asked if not may_foresee(command)] == []


@pytest.mark.parametrize("module", ["package", "service", "file"])
def test_and_so_they_do_as_root(module: str) -> None:
    def use(host: Host) -> None:
        with host.sudo():
            USES[module](host)

    asked = asked_by(use)
    assert any(command.startswith("sudo -n -u root") for command in asked)
    assert [command for command in asked if not may_foresee(command)] == []


# --- our own -------------------------------------------------------------------------------------------------------


CONTRACT = sites.contract(sites.guest())


def reading_command() -> str:
    asked: list[str] = []

    def run(command: str) -> Result:
        asked.append(command)
        return Result(0, "", "")

    read_files("core-rt01", run, ["/etc/dnsmasq.conf", "/etc/dnsmasq.d", "/srv/a b"])
    return asked[0]


def our_commands() -> dict[str, str]:
    """Everything that verify sends by itself, to the hypervisor, to a guest and to a router with dnsmasq."""
    return {
        **{f"host {name}": command for name, command in host_facts.COMMANDS.items()},
        **{f"setup {name}": command for name, command in host_setup.COMMANDS.items()},
        **{f"guest {name}": command for name, command in guest_facts.COMMANDS.items()},
        **{f"guest {name}": command for name, command in guest_facts.unit_commands(["a.service", "b c"]).items()},
        **{
            f"segment {name}": it
            for name, it in segment_facts.questions(sites.contract(sites.guest()), "vmbr0").items()
        },
        "router find": FIND_COMMAND,
        "router read": reading_command(),
    }


# What ours do beyond the list, each for a reason: a datagram to a discard port makes the kernel look for a neighbour,
# opening /dev/kvm both ways is what shows that it can be used, and a question to all DHCP servers asks for no lease.
DATAGRAM = re.compile(r"echo >/dev/udp/(198\.18\.99\.\d+|)/9")
OPENS = {("<>", "/dev/kvm")}
SEARCHED = re.compile(r"\bPATH=\$PATH(:/(usr/|usr/local/)?sbin)+[;\n]")


def offends(one: Simple, whole: str) -> str | None:
    """Why this program of ours is not one that only reads."""
    for name, _ in one.assigned:
        if not name.islower() and not (name == "PATH" and SEARCHED.search(whole)):
            return f"sets {name}"
    for operator, target in one.redirected:
        into = operator.lstrip("012") not in ("<", "<&", ">&") and target.text != "/dev/null"
        if into and (operator, target.text) not in OPENS and not DATAGRAM.fullmatch(f"echo >{target}"):
            return f"{operator} {target}"
    if not one.words:
        return None
    program, *arguments = map(str, one.words)
    if program == "sudo":
        program, *arguments = [one for one in arguments if one != "-n"]
    if program == "python3" and arguments[0] == "-":
        return None if one.here == dhcp.SCRIPT.read_text() else "a script that is not ours"
    if not one.words[0].literal:
        return "a program that nobody can name"
    allowed = may_run(program, tuple(arguments), lambda script: not list(offences(script)))
    return None if allowed else " ".join([program, *arguments])


def offences(command: str) -> Iterator[str]:
    yield from (why for one in parse_programs(command) if (why := offends(one, command)))


@pytest.mark.parametrize("name", our_commands())
def test_our_own_commands_only_read(name: str) -> None:
    assert list(offences(our_commands()[name])) == []


@pytest.mark.parametrize("name", our_commands())
def test_and_what_is_added_to_one_would_be_seen(name: str) -> None:
    command = our_commands()[name]
    assert list(offences(f"{command}\nreboot"))
    assert list(offences(f"if true; then\n{command}\nfi\necho >/etc/motd"))


def test_the_question_for_dhcp_servers_takes_no_lease() -> None:
    """Its own file says what it sends: of DHCP's messages, DISCOVER and INFORM."""
    text = dhcp.SCRIPT.read_text()
    assert "bootp(chaddr, bytes(4), transaction, DISCOVER, 0x8000)" in text
    assert "bootp(own_mac, own_address, transaction, INFORM, 0)" in text
    assert text.count("bootp(") == 3  # those two, and itself


def test_a_routers_commands_may_be_remembered_and_their_likes_may_not() -> None:
    assert may_foresee(FIND_COMMAND)
    assert may_foresee(reading_command())
    assert not may_foresee(f"{FIND_COMMAND}\nreboot")
    assert not may_foresee(reading_command() + "; reboot")
    assert not may_foresee(reading_command().replace("base64", "rm", 1))
    assert not may_foresee(reading_command().replace("/etc/dnsmasq.conf", "/dev/watchdog"))
    assert not may_foresee("sh -c " + json.dumps(READ_SCRIPT.replace("base64", "tee /etc/motd")))


@pytest.mark.parametrize("command", ["cat $((1+1))", "cat <<E\nx\nE", "f() { cat; }", "cat `ls`", "cat ${x:-$(ls)}"])
def test_what_the_reader_has_no_rule_for_is_not_guessed(command: str) -> None:
    with pytest.raises(NotUnderstood):
        parse_programs(command)
