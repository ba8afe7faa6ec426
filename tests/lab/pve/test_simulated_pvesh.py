"""`pvesh` on the node is root without a login: PVE's options, words and exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.lab.pve.pvesh import UsageError, parse
from harness.lab.pve.schema import Param, boolean, list_of, needed, text
from tests.lab.pve.served import NODE, ROOT, Node

PROGRAM = ROOT / "harness/lab/files/pve-manager/usr/bin/pvesh"
TOKEN = "/access/users/verify@pve/token/harness"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="pvesh is for root")


def pvesh(node: Node, *arguments: str, name: str = "pvesh") -> subprocess.CompletedProcess[str]:
    """The stand-in's own program, told where this test's simulator listens."""
    program = node.folder / name
    program.write_text(PROGRAM.read_text().replace("/var/lib/pve-simulator", str(node.folder / "state")))
    return subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True, check=False)


def read(node: Node, path: str, *arguments: str) -> Any:
    done = pvesh(node, "get", path, *arguments, "--output-format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


SCHEMA: dict[str, Param] = {
    "full": boolean(),
    "name": text(),
    "privs": list_of(None),
    "command": Param("array"),
    "roleid": needed(text()),
}


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("-name a --full --roleid=b", {"name": "a", "full": "1", "roleid": "b"}),
        ("--full no -name a", {"full": "0", "name": "a"}),
        ("--full=yes", {"full": "1"}),
        ("--name -a", {"name": "-a"}),
        ("--name a --name b", {"name": "b"}),
        ("--privs VM.Audit --privs Sys.Audit,VM.Clone", {"privs": "VM.Audit,Sys.Audit,VM.Clone"}),
        ("--command ls --command -l", {"command": ["ls", "-l"]}),
        ("--output-format json --quiet --name a", {"name": "a"}),
    ],
)
def test_options_are_read_as_getopt_reads_them(line: str, sent: dict[str, Any]) -> None:
    assert parse(SCHEMA, line.split()).sent == sent


@pytest.mark.parametrize(
    ("line", "message", "said"),
    [
        ("--nonsense 1", "unable to parse option", "Unknown option: nonsense\n"),
        ("--name", "unable to parse option", "Option name requires an argument\n"),
        ("--full maybe", "unable to parse boolean option", ""),
        ("--name a b", "too many arguments", ""),
    ],
)
def test_options_nobody_understands_are_named(line: str, message: str, said: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        parse(SCHEMA, line.split())
    assert refusal.value.said == said


@needs_root
def test_reads_as_root_without_a_login(node: Node) -> None:
    assert read(node, "/version")["version"] == "8.4.1"
    assert {user["userid"] for user in read(node, "access/users")} == {"root@pam", "audit@pve", "maker@pve"}
    assert read(node, "/access/users", "--full", "--enabled", "yes")[0]["tokens"][0]["tokenid"] == "ro"


@needs_root
def test_makes_changes_and_removes_what_bootstrap_needs(node: Node) -> None:
    for arguments in (
        ("create", "/access/roles", "--roleid", "MgmtAudit", "--privs", "Sys.Audit VM.Audit"),
        ("set", "/access/roles/MgmtAudit", "--privs", "Pool.Audit", "--append"),
        ("create", "/access/users", "-userid", "verify@pve"),
        ("set", "/access/acl", "--path", "/", "--roles", "MgmtAudit", "--users", "verify@pve", "--propagate", "1"),
        ("create", "/pools", "--poolid", "new", "--comment", "made here"),
        ("set", "/storage/local", "--content", "iso,vztmpl,backup,import,snippets"),
        ("create", "/cluster/backup", "--id", "nightly", "--schedule", "02:00", "--storage", "local", "--all"),
        ("set", "/cluster/backup/nightly", "--prune-backups", "keep-last=3,keep-daily=7"),
        ("delete", "/cluster/backup/nightly"),
    ):
        done = pvesh(node, *arguments, "--output-format", "json")
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert done.stdout == "" or arguments[1].startswith("/storage"), arguments
    assert set(read(node, "/access/roles/MgmtAudit")) >= {"Sys.Audit", "VM.Audit", "Pool.Audit"}
    assert "verify@pve" in {entry["ugid"] for entry in read(node, "/access/acl")}
    assert read(node, "/storage/local")["content"] == "iso,vztmpl,backup,import,snippets"
    assert read(node, "/cluster/backup") == []


@needs_root
def test_a_token_it_makes_opens_the_api(node: Node) -> None:
    pvesh(node, "create", "/access/users", "--userid", "verify@pve")
    made = json.loads(pvesh(node, "create", TOKEN, "--privsep", "1", "--output-format", "json").stdout)
    assert made["full-tokenid"] == "verify@pve!harness"
    node.use_token("verify", made["full-tokenid"], made["value"])
    assert node.ask("GET", "/version", user="verify").status == 200
    again = pvesh(node, "create", TOKEN)
    assert (again.returncode, again.stdout) == (255, "")
    assert again.stderr.startswith("400 Parameter verification failed.\ntokenid: Token already exists.\npvesh create ")


@needs_root
@pytest.mark.parametrize(
    ("line", "code", "stderr"),
    [
        ("get /access/users/no@pve", 2, "no such user ('no@pve')\n"),
        ("create /pools --poolid mgmt", 2, "create pool failed: pool 'mgmt' already exists\n"),
        ("get /nowhere", 1, "No 'get' handler defined for '/nowhere'\n"),
        (
            "create /access/roles --privs Sys.Audit",
            255,
            "400 Parameter verification failed.\nroleid: property is missing and it is not optional\n"
            "pvesh create <api_path> --roleid <string> [OPTIONS] [FORMAT_OPTIONS]\n",
        ),
        (
            "set /storage/local --colour red",
            255,
            "Unknown option: colour\n400 unable to parse option\npvesh set <api_path> [OPTIONS] [FORMAT_OPTIONS]\n",
        ),
    ],
)
def test_refusals_are_on_stderr_with_an_exit_status(node: Node, line: str, code: int, stderr: str) -> None:
    done = pvesh(node, *line.split())
    assert (done.returncode, done.stdout, done.stderr) == (code, "", stderr)


@needs_root
def test_pveum_changes_what_it_names(node: Node) -> None:
    """A sentence of ours that ends in a pveum command can be followed on the lab."""
    for line in (
        "user add verify@pve --comment reads",
        "role add MgmtAudit --privs Sys.Audit,VM.Audit",
        "role modify MgmtAudit --privs Pool.Audit --append 1",
        "acl modify / --users verify@pve --roles MgmtAudit --propagate 1",
        "user token add verify@pve harness --privsep 1",
        "acl modify /vms --tokens verify@pve!harness --roles MgmtAudit",
        "acl delete / --users verify@pve --roles MgmtAudit",
        "pool add new",
    ):
        done = pvesh(node, *line.split(), name="pveum")
        assert (done.returncode, done.stderr) == (0, ""), line
    assert set(read(node, "/access/roles/MgmtAudit")) >= {"Sys.Audit", "VM.Audit", "Pool.Audit"}
    held = {(entry["path"], entry["ugid"]) for entry in read(node, "/access/acl") if entry["roleid"] == "MgmtAudit"}
    assert held == {("/vms", "verify@pve!harness")}
    listed = pvesh(node, "user", "token", "list", "verify@pve", "--output-format", "json", name="pveum")
    assert [token["tokenid"] for token in json.loads(listed.stdout)] == ["harness"]


@needs_root
@pytest.mark.parametrize(
    ("line", "code", "stderr"),
    [
        ("role add", 255, "400 not enough arguments\npveum role add <roleid> [OPTIONS]\n"),
        ("pool add mgmt", 2, "create pool failed: pool 'mgmt' already exists\n"),
        (
            "acl modify / --users audit@pve",
            255,
            "400 Parameter verification failed.\nroles: property is missing and it is not optional\n"
            "pveum acl modify <path> --roles <string> [OPTIONS] [FORMAT_OPTIONS]\n",
        ),
    ],
)
def test_pveum_refuses_as_pvesh_does(node: Node, line: str, code: int, stderr: str) -> None:
    done = pvesh(node, *line.split(), name="pveum")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", stderr)


@needs_root
def test_a_task_is_waited_for_and_its_upid_printed(node: Node) -> None:
    done = pvesh(node, "create", f"{NODE}/qemu/9000/clone", "--newid", "130", "--output-format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    *log, upid = done.stdout.splitlines()
    assert log
    assert node.read(f"{NODE}/tasks/{json.loads(upid)}/status")["exitstatus"] == "OK"


@needs_root
def test_a_failed_task_shows_on_stderr_alone(node: Node) -> None:
    """The trap of the original: only what it says tells that the task failed."""
    done = pvesh(node, "create", f"{NODE}/qemu/999/status/start", "--output-format", "json")
    assert done.returncode == 0
    assert "does not exist" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]).startswith("UPID:hv01:")


@needs_root
def test_calls_are_counted_and_broken_on_request(node: Node) -> None:
    node.control(op="reset-counters")
    node.control(op="fault", kind="status", method="POST", path="^/pools$", status=500, reason="disk full")
    done = pvesh(node, "create", "/pools", "--poolid", "new")
    assert (done.returncode, done.stderr) == (2, "disk full\n")
    assert pvesh(node, "create", "/pools", "--poolid", "new").returncode == 0
    assert node.control(op="counters") == {"writes": 1, "calls": {"POST /pools": 1}}


@needs_root
def test_without_a_simulator_it_fails_as_without_the_cluster_file_system(node: Node) -> None:
    node.stop()
    done = pvesh(node, "get", "/version")
    assert (done.returncode, done.stdout) == (111, "")
    assert "Unable to load access control list: Connection refused" in done.stderr


@needs_root
def test_only_root_reaches_it(node: Node, tmp_path: Path) -> None:
    for path in (tmp_path / "state", tmp_path / "state/pvesh.sock"):
        assert path.stat().st_mode & 0o077 == 0
    # By its text: nobody may not be able to read the checkout.
    as_nobody = ["setpriv", "--reuid=65534", "--clear-groups", "/usr/bin/python3", "-", "get", "/version"]
    done = subprocess.run(as_nobody, input=PROGRAM.read_text(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (255, "please run as root\n")
