"""The state each recorded scenario starts from, and the few steps that only its recorder could take."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.wait import wait_until
from tests.lab.pve.replay import Before, Replay
from tests.lab.pve.served import NODE, Node, storages, template, vm

INTERFACES = """\
auto lo
iface lo inet loopback

iface eth0 inet manual

auto vmbr0
iface vmbr0 inet static
        address 10.77.0.10/24
        gateway 10.77.0.1
        bridge-ports eth0
        bridge-stp off
        bridge-fd 0
"""
IMPORTS = [
    {"volid": "local:import/debian12.qcow2", "content": "import", "size": 189661184},
    {"volid": "local:import/tiny.qcow2", "content": "import", "size": 15769088, "virtual": 167772160},
]


@dataclass(frozen=True)
class Scenario:
    """Recordings replayed one after the other on one node."""

    files: tuple[str, ...]
    vms: tuple[Mapping[str, Any], ...] = ()
    running: tuple[int, ...] = ()
    pools: tuple[Mapping[str, Any], ...] = ()
    jobs: tuple[Mapping[str, Any], ...] = ()
    volumes: tuple[Mapping[str, Any], ...] = ()
    users: tuple[str, ...] = ()
    acl: tuple[Mapping[str, Any], ...] = ()
    deaf: str = ""
    tasks: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()  # run before, for the lists
    first: Mapping[str, int] = field(default_factory=dict)  # the exchange a replay begins with
    before: Mapping[str, Mapping[int, Before]] = field(default_factory=dict)

    def node(self, folder: Path, pace: float) -> Node:
        """A started node in this state, root logged in, the recorder's own token known."""
        (folder / "interfaces").write_text(INTERFACES)
        (folder / "root.token").write_text("00000000-0000-4000-8000-000000000001")
        users = [{"userid": "root@pam", "password_file": "root.password", "email": "root@example.test"}]
        seed = {
            "users": [*users, *({"userid": user} for user in self.users)],
            "tokens": [{"id": "root@pam!lab", "secret_file": "root.token", "privsep": 0}],
            "storages": storages(folder),
            "vms": self.vms,
            "pools": self.pools,
            "jobs": self.jobs,
            "volumes": [*IMPORTS, *self.volumes],
            "acl": self.acl,
            "options": {"keyboard": "en-us"},
        }
        node = Node(folder, seed, pace=pace, script=self.deaf).start()
        node.login()
        node.use_token("token:root", "root@pam!lab", "00000000-0000-4000-8000-000000000001")
        for vmid in self.running:
            assert node.run("POST", f"{NODE}/qemu/{vmid}/status/start") == "OK"
        for method, path, params in self.tasks:
            node.ended(node.ask(method, path, params).data)
        return node


# -- steps ------------------------------------------------------------------------------------------------------------
def _header(name: str, value: str) -> Before:
    """The exchange is sent with this header instead of credentials."""

    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        exchange["own_headers"] = {name: value.format(**_secrets(replay))}

    return before


def _secrets(replay: Replay) -> dict[str, str]:
    cookie = replay.node.credentials["root@pam"]["Cookie"].partition("=")[2]
    ticket = urllib.parse.unquote(cookie)
    forged = re.sub(r"::.{4}", "::AAAA", ticket)
    return {"ticket": ticket, "quoted": cookie, "forged": urllib.parse.quote(forged, safe="")}


def _without_csrf(value: str | None) -> Before:
    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        known = dict(replay.node.credentials["root@pam"])
        known.pop("CSRFPreventionToken")
        replay.node.credentials["odd"] = known | ({"CSRFPreventionToken": value} if value else {})
        exchange["auth"] = "odd"

    return before


def _renewed(replay: Replay, exchange: dict[str, Any]) -> None:
    replay.node.credentials["ticket:root2"] = replay.node.credentials["root@pam"]


def _forged_password(replay: Replay, exchange: dict[str, Any]) -> None:
    exchange["params"]["password"] = re.sub(r"::.{4}", "::AAAA", _secrets(replay)["ticket"])


def _own_ticket_as_password(replay: Replay, exchange: dict[str, Any]) -> None:
    exchange["params"]["password"] = _secrets(replay)["ticket"]


def _expires_in(seconds: int) -> Before:
    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        exchange["params"]["expire"] = int(time.time()) + seconds
        replay.known["expires"] = str(int(time.time()) + seconds)

    return before


def _expired(replay: Replay, exchange: dict[str, Any]) -> None:
    until = float(replay.known["expires"])
    wait_until(lambda: (time.time() >= until or None, ""), deadline_s=10)


def _log_in(name: str, user: str, password: str) -> Before:
    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        assert replay.node.login(user, password).status == 200
        replay.node.credentials[name] = replay.node.credentials[user]

    return before


def _control(**request: Any) -> Before:
    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        replay.node.control(**request)

    return before


def _know_tasks(replay: Replay, exchange: dict[str, Any]) -> None:
    """A task of before the recording: the one of the same kind that prepared the state."""
    wanted = re.search(r"UPID:[^/]*:(qm\w+):(\d+):root@pam:", exchange["path"])
    assert wanted is not None
    for task in replay.node.ask("GET", f"{NODE}/tasks", {"limit": 0}).data:
        if (task["type"], task["id"]) == (wanted[1], wanted[2]):
            replay.known[wanted[0]] = task["upid"]


def _since(replay: Replay, exchange: dict[str, Any]) -> None:
    exchange["params"]["since"] = int(time.time()) - 3600


def _kill_clone(replay: Replay, exchange: dict[str, Any]) -> None:
    """The recorder killed the worker with SIGKILL on the node."""
    upid = replay._translated(exchange["path"]).split("/")[4]
    replay.node.control(op="kill-task", upid=upid)


def _stop_vm(vmid: int) -> Before:
    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        assert replay.node.run("POST", f"{NODE}/qemu/{vmid}/status/stop") == "OK"

    return before


def _proxy_error(method: str, path: str, reason: str) -> Before:
    """The recorder had stopped pvedaemon, or hit one of its busy workers."""
    return _control(op="fault", kind="596", method=method, path=path, times=1, reason=reason)


def _either_writer(replay: Replay, exchange: dict[str, Any]) -> None:
    """Of two writers at the same time either may have been the last."""
    exchange["body"]["data"]["description"] = replay.node.ask("GET", exchange["path"]).data["description"]


def _until_cloned(vmid: int) -> Before:
    def before(replay: Replay, exchange: dict[str, Any]) -> None:
        def look() -> tuple[bool | None, str]:
            config = replay.node.ask("GET", f"{NODE}/qemu/{vmid}/config").data
            return ("lock" not in config) or None, str(config)

        assert wait_until(look, deadline_s=10, first_pause_s=0.01).value

    return before


def _clean_up(replay: Replay, exchange: dict[str, Any]) -> None:
    """Clones before the templates they hang on."""
    left = sorted(replay.node.ask("GET", f"{NODE}/qemu").data, key=lambda item: item.get("template", 0))
    for item in left:
        path = f"{NODE}/qemu/{item['vmid']}"
        if item["status"] == "running":
            replay.node.run("POST", f"{path}/status/stop")
        assert replay.node.run("DELETE", path, {"skiplock": 1}) == "OK"


def _moved_disk(replay: Replay, exchange: dict[str, Any]) -> None:
    """The recorder moved the disk to another storage, a call the harness does not make."""
    volume = {"volid": "data:140/vm-140-disk-0.qcow2", "size": 2147483648, "vmid": 140}
    replay.node.control(op="seed", seed={"volumes": [volume]})
    disks = {"scsi0": f"{volume['volid']},size=2G", "unused0": "local:140/vm-140-disk-0.qcow2"}
    replay.node.control(op="edit-config", vmid=140, set=disks)


def _again_163(replay: Replay, exchange: dict[str, Any]) -> None:
    """The recorder made VM 163 anew, with a volume that no configuration names."""
    volume = {"volid": "local:163/vm-163-disk-7.qcow2", "size": 1073741824, "vmid": 163}
    replay.node.control(op="seed", seed={"vms": [_DELETED[3]], "volumes": [volume]})


_DISK_200 = {"volid": "local:200/vm-200-disk-0.qcow2", "size": 167772160, "vmid": 200}
_AUTH_STEPS: Mapping[int, Before] = {
    7: _header("Cookie", "PVEAuthCookie=garbage"),
    8: _header("Cookie", "PVEAuthCookie={forged}"),
    9: _header("Authorization", "Bearer abc"),
    24: _header("Cookie", "PVEAuthCookie={ticket}"),
    25: _header("Authorization", "PVEAuthCookie={quoted}"),
    26: _without_csrf(None),
    27: _without_csrf("69213A00:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    28: _without_csrf("malformed"),
    31: _without_csrf(None),
    33: _without_csrf("69213A00:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    34: _own_ticket_as_password,
    35: _renewed,
    37: _forged_password,
    44: _header("Authorization", "PVEAPIToken=root@pam!lab=11111111-2222-4333-8444-555555555555"),
    45: _header("Authorization", "PVEAPIToken=root@pam!nosuch=11111111-2222-4333-8444-555555555555"),
    46: _header("Authorization", "PVEAPIToken=nobody@pve!lab=11111111-2222-4333-8444-555555555555"),
    47: _header("Authorization", "PVEAPIToken=root@pam!lab:11111111-2222-4333-8444-555555555555"),
    48: _header("Authorization", "PVEAPIToken root@pam!lab=00000000-0000-4000-8000-000000000001"),
    49: _header("Authorization", "PVEAPIToken=00000000-0000-4000-8000-000000000001"),
    80: _expires_in(2),
    82: _expired,
    83: _expires_in(-10),
    86: _log_in("ticket:rec", "recuser@pve", "password-rec1"),
    93: _expires_in(-100),
}
_WEB = vm(100, "web01", net0="virtio=02:DE:01:01:01:01,bridge=vmbr0", tags="lab;web", onboot="1")
_WEB["config"]["description"] = "first line\nsecond line"
_LAB_POOL = {"poolid": "lab", "comment": "lab VMs", "vms": [100, 101]}


def _backup(storage: str, vmid: int, stamp: str = "2026_11_22-05_09_21", suffix: str = "vma") -> dict[str, Any]:
    volid = f"{storage}:backup/vzdump-qemu-{vmid}-{stamp}.{suffix}"
    return {"volid": volid, "content": "backup", "size": 15825920, "vmid": vmid, "format": suffix}


_CLOUD_TEMPLATE = template(
    120, "tmpl", ide2="local:120/vm-120-cloudinit.qcow2,media=cdrom", ipconfig0="ip=dhcp", tags="template", onboot="0"
)
_CLOUD_TEMPLATE["config"]["description"] = "the template"
_BIG = template(121, "big", size="6G", tags="template;big", description="big one")
_DELETED = [vm(vmid, f"d{vmid}") for vmid in (160, 161, 162, 163)]
_DELETED[0]["config"]["protection"] = "1"
_TO_BACK_UP = vm(170, "bak", net0="virtio=02:DE:01:07:00:01,bridge=vmbr0", tags="keep", onboot="1")
_TO_BACK_UP["config"]["description"] = "to be backed up"

SCENARIOS = {
    "01": Scenario(("01-auth",), before={"01-auth": _AUTH_STEPS}),
    "02-03": Scenario(
        (
            "02-read-only",
            "03-least-privilege",
            "03b-read-only-as-audit",
            "03c-read-only-as-nobody",
            "03d-identities-removed",
        ),
        vms=(_WEB, template(101, "tmpl", tags="template"), vm(102, "other", agent="")),
        running=(100,),
        tasks=(
            ("POST", f"{NODE}/qemu", {"vmid": 108}),
            ("DELETE", f"{NODE}/qemu/108", {}),
            ("POST", f"{NODE}/qemu/999/status/start", {}),
        ),
        pools=(_LAB_POOL,),
        jobs=(
            {
                "id": "backup-lab",
                "schedule": "daily",
                "storage": "data",
                "vmid": "100",
                "enabled": 1,
                "mode": "snapshot",
                "prune-backups": "keep-last=2",
            },
        ),
        volumes=(
            *(_backup("local", vmid) for vmid in (100, 101, 103)),
            {"volid": "local:iso/a.iso", "content": "iso", "size": 1024, "format": "iso"},
        ),
        before={
            "02-read-only": {80: _since},
            "03-least-privilege": dict.fromkeys((149, 150, 151), _know_tasks),
            "03b-read-only-as-audit": {80: _since},
            "03c-read-only-as-nobody": {80: _since},
        },
    ),
    "03e": Scenario(
        ("03e-audit-and-backups",),
        vms=(vm(220, "b"),),
        tasks=(("POST", f"{NODE}/vzdump", {"vmid": 220, "storage": "data", "compress": "zstd"}),),
        jobs=({"id": "backup-a", "schedule": "daily", "storage": "data", "vmid": "220", "enabled": 1},),
    ),
    "04": Scenario(("04-template",)),
    "05": Scenario(
        ("05-clone",),
        vms=(_CLOUD_TEMPLATE, _BIG),
        before={
            "05-clone": {
                92: _until_cloned(130),
                160: _clean_up,
                58: _control(op="fault", kind="task-stall", task="qmclone", times=1, seconds=40),
                103: _control(op="fault", kind="task-stall", task="qmclone", times=1, seconds=6),
                131: _kill_clone,
            }
        },
    ),
    "06": Scenario(("06-configure",), vms=(vm(140, "conf"),), before={"06-configure": {178: _moved_disk}}),
    "07": Scenario(
        ("07-power",),
        vms=(
            vm(150, "power"),
            vm(151, "deaf", agent="", disk="local:151/vm-151-disk-0.raw,size=1G"),
            vm(152, "off", agent="0"),
        ),
        deaf="151",
    ),
    "08": Scenario(
        ("08-delete",),
        vms=tuple(_DELETED),
        before={"08-delete": {36: _again_163, 40: _again_163}},
        pools=({"poolid": "delpool", "vms": [160, 161, 162, 163]},),
        jobs=(
            {
                "id": "backup-del",
                "schedule": "daily",
                "storage": "data",
                "vmid": "160,161,162,163",
                "enabled": 1,
                "mode": "snapshot",
            },
        ),
        users=("del@pve",),
        acl=tuple({"path": f"/vms/{vmid}", "roles": ["PVEVMUser"], "users": ["del@pve"]} for vmid in (161, 162)),
        volumes=({"volid": "local:163/vm-163-disk-7.qcow2", "size": 1073741824, "vmid": 163},),
    ),
    "09": Scenario(
        ("09-backup",),
        vms=(
            vm(150, "power"),
            vm(151, "deaf", agent="", disk="local:151/vm-151-disk-0.raw,size=1G"),
            vm(152, "noagent", agent="0"),
            _TO_BACK_UP,
            vm(171, "bak2", agent="", net0="", serial0="", disk="local:171/vm-171-disk-0.raw,size=1G"),
        ),
        deaf="151",
        before={"09-backup": {17: _control(op="fault", kind="task-stall", task="vzdump", times=1, seconds=14)}},
    ),
    "10": Scenario(
        ("10-snapshots-pools-nextid",),
        vms=(vm(180, "snap"), vm(181, "lvm"), vm(182, "third")),
        running=(180,),
        first={"10-snapshots-pools-nextid": 96},  # everything before is about snapshots
        before={"10-snapshots-pools-nextid": {118: _stop_vm(180)}},
    ),
    "11": Scenario(
        ("11-errors-and-limits",),
        vms=(vm(190, "err"), vm(191, "deaf", agent="", disk="local:191/vm-191-disk-0.raw,size=1G")),
        deaf="191",
        before={
            "11-errors-and-limits": {
                160: _proxy_error("GET", "/qemu/191/status/current$", "Broken pipe"),
                173: _either_writer,
                174: _proxy_error("PUT", "/qemu/191/config$", "Connection timed out"),
                175: _proxy_error("GET", "/qemu/191/status/current$", "Connection timed out"),
                176: _proxy_error("GET", "/storage/local/content$", "Connection timed out"),
                178: _proxy_error("POST", "/access/ticket$", "Connection timed out"),
            }
        },
    ),
    "12": Scenario(
        ("12-task-failures",),
        vms=(vm(200, "fail"), vm(201, "warn", agent=""), template(204, "tmpl")),
        deaf="200,201",
        before={
            "12-task-failures": {
                23: _control(op="remove-volume", volid="local:200/vm-200-disk-0.qcow2"),
                91: _control(op="seed", seed={"volumes": [_DISK_200]}),
            }
        },
    ),
}
