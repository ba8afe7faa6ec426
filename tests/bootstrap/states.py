"""All of a bootstrapped hypervisor that two labs can have in common."""

from __future__ import annotations

from typing import Any

from tests.bootstrap.installed import SECRETS, Installed

LISTS = ("roles", "users --full 1", "acl")
PVE = (
    *(f"/access/{name}" for name in LISTS),
    "/pools",
    "/storage",
    "/cluster/backup",
    "/cluster/options",
    "/nodes/hv01/qemu/9000/config",
)
SYSTEM = {
    "packages": "dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\\n'",
    "held": "apt-mark showhold",
    "candidates": "apt-cache policy; apt-cache policy pve-manager",
    "units": "systemctl list-unit-files --no-legend --state=enabled",
    "sshd": "sshd -T -C user=root,host=x,addr=198.18.99.254",
    "clocks": "chronyc -n sources | cut --characters=4-20",
    "unfinished": "dpkg --audit",
    "keys": "cut --delimiter=' ' --fields=1,3 /root/.ssh/authorized_keys",
}
TREES = "/etc /root /usr/local /var/lib/mgmt-harness /var/lib/dpkg /var/lib/apt/lists"
# The lab's own workings, what Ansible and apt need while they run, and lists that are made from others.
NOT_COMPARED = (
    *("/etc/mgmt-lab", "/etc/default/mgmt-lab-simulator", "/root/.ansible", "/var/lib/dpkg/status-old"),
    *("/var/lib/dpkg/lock", "/var/lib/dpkg/triggers/Lock", "/var/lib/apt/lists/lock", "/var/lib/apt/lists/partial"),
    "/var/lib/apt/lists/auxfiles",
)
# Where something may be left lying about; systemd draws the names of its own folders.
LEFT = "find /tmp /root -path '*ansible*' -printf '%p %M %u\\n' -o -path '/tmp/*' -printf '%p %M %u\\n' | sort"
# A killed run's last task goes on until it sees that nobody listens.
ANSIBLE_ENDS = "for _ in $(seq 50); do if pgrep -f '[a]nsible' >/dev/null; then sleep 0.1; fi; done"
# New with each lab: there only mode and owner are the same.
OWN = (
    *("/etc/machine-id", "/etc/shadow", "/etc/ssh/ssh_host_ed25519_key", "/etc/pve/nodes/hv01/pve-ssl"),
    *("/etc/pve/pve-root-ca.pem", "/etc/pve/priv/authorized_keys", "/root/.ssh/id_rsa"),
)


def state(host: Installed) -> dict[str, Any]:
    """The host, and what is kept of it here."""
    host.inside(ANSIBLE_ENDS)
    told: dict[str, Any] = {path: _lasting(host.pvesh(f"get {path}")) for path in PVE}
    told["pools"] = [_lasting(host.pvesh(f"get /pools/{pool['poolid']}")) for pool in told["/pools"]]
    told |= {name: host.inside(command) for name, command in SYSTEM.items()}
    told["files"] = _files(host)
    told["left"] = [line for line in host.inside(LEFT).splitlines() if "/systemd-private-" not in line]
    told["kept"] = sorted((str(one.relative_to(SECRETS)), oct(one.stat().st_mode)) for one in SECRETS.rglob("*"))
    told["pinned"] = sorted(line.split()[:2] for line in (SECRETS / "ssh/known_hosts").read_text().splitlines())
    told["tokens"] = [len(one.read_text()) for one in sorted(SECRETS.glob("*.token"))]
    return told


def _lasting(entry: Any) -> Any:
    if isinstance(entry, list):
        return sorted((_lasting(one) for one in entry), key=str)
    return {key: value for key, value in entry.items() if key != "next-run"} if isinstance(entry, dict) else entry


def _files(host: Installed) -> dict[str, str]:
    """Every path with kind, mode, owner and content."""
    trees = host.inside(f"for tree in {TREES}; do if [ -e $tree ]; then echo $tree; fi; done").replace("\n", " ")
    listed = host.inside(f"find {trees} -xdev -printf '%p\\t%y:%l %m %u:%g\\n'")
    hashed = host.inside(f"find {trees} -xdev -type f -exec sha256sum {{}} +")
    content = {path: digest for digest, path in (line.split("  ", 1) for line in hashed.splitlines())}
    return {
        path: facts if path.startswith(OWN) else f"{facts} {content.get(path)}"
        for path, facts in (line.split("\t") for line in listed.splitlines())
        if not path.startswith(NOT_COMPARED)
    }


def differing(seen: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = sorted(seen.keys() | wanted.keys())
    return {name: (seen.get(name), wanted.get(name)) for name in names if seen.get(name) != wanted.get(name)}
