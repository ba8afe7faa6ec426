"""What to ask the hypervisor's Debian before packages are changed on it; every command leaves it as it was."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

APT_LIMIT_S = 90.0
_SLOW_S = 15  # how long one repository may keep apt waiting

LOGIN = {"uid": "id -u", "sudo": "sudo -n true"}

COMMANDS = {
    "audit": "dpkg --audit",
    # A dpkg that was killed leaves its notes here, and apt refuses to work until they are taken in.
    "interrupted": "find /var/lib/dpkg/updates -type f -name '[0-9]*'",
    "dependencies": "apt-get check -qq -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=",
    "space": "df -P -k / /var/lib/dpkg /var/cache/apt /tmp",
    "inodes": "df -P -i / /var/lib/dpkg",
    "cluster-name": "cat /etc/pve/corosync.conf /etc/corosync/corosync.conf 2>/dev/null "
    "| sed -n 's/^ *cluster_name: *//p'",
    "own-name": 'name=$(hostname) && echo "$name" && getent ahostsv4 "$name" | cut -d" " -f1 | sort -u',
}

# Its own lists and caches, below a folder that goes away; hooks that other packages hang on `update` are left out.
UPDATE = f"""\
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work" && mkdir -p "$work/lists/partial" "$work/cache/archives/partial" || exit 1
cat >"$work/apt.conf" <<'CONFIG'
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONFIG
apt-get update -c "$work/apt.conf" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \\
  -o APT::Update::Error-Mode=any -o Acquire::Retries=0 -o Acquire::http::Timeout={_SLOW_S} \\
  -o Acquire::https::Timeout={_SLOW_S} -o Acquire::Languages=none"""


def render_knock(host: str, port: int) -> str:
    """Ask a web server for its first line; bash does it, because no other program is sure to be there."""
    quoted = shlex.quote(host)
    ask = f"HEAD / HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n"
    inner = f"exec 3<>/dev/tcp/{quoted}/{port} && printf {shlex.quote(ask)} >&3 && head -n 1 <&3"
    return f"timeout 10 bash -c {shlex.quote(inner)}"


# PVE has no NTP client that only asks; Python it has.
_ASK_CLOCKS = """\
import socket, struct, sys, time
for name in sys.argv[1:]:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.settimeout(3)
            channel.connect((name, 123))
            channel.send(bytes([0x23]) + bytes(47))
            answer = channel.recv(512)
        seconds = struct.unpack("!I", answer[40:44])[0] - 2208988800
        ahead = (seconds - time.time() + 2**31) % 2**32 - 2**31
        print(name, answer[0] >> 6, answer[1], f"{ahead:.1f}")
    except (OSError, struct.error) as error:
        print(name, "-", "-", error)
"""


def render_clocks(servers: Iterable[str]) -> str:
    """Ask these time servers once; one line each: name, leap indicator, stratum, seconds ahead of here."""
    return shlex.join(["python3", "-c", _ASK_CLOCKS, *servers])
