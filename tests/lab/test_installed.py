"""The hypervisor as the installer leaves it: everything bootstrap has to do is still to be done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import lab
from harness.lab import LabSpec, LabStatus, machines, paths
from tests.lab.client import connect, shell, wait

pytestmark = pytest.mark.lab

REPOSITORY = "deb [trusted=yes] http://198.18.99.1/packages ./"
DENIED = "Permission denied (publickey,password)."


@pytest.fixture
def installed(free_machine: None, spec: LabSpec) -> LabStatus:
    """Nobody's key is let in: the lab itself enters by the machine's namespaces."""
    return lab.up(replace(spec, hypervisor_state="installed"), progress=print)


@pytest.fixture
def own_repository(installed: LabStatus) -> Iterator[None]:
    """The hypervisor with the lab's packages over HTTP as its only repository, and 8.4.0 again afterwards."""
    aside = "/root/sources"
    inside("sh", "-c", f"mkdir {aside} && mv /etc/apt/sources.list /etc/apt/sources.list.d/*.list {aside}")
    inside("sh", "-c", f"echo '{REPOSITORY}' >/etc/apt/sources.list.d/lab.list && apt-get -q update")
    yield
    install("8.4.0")
    inside("sh", "-c", f"cd {aside} && mv sources.list /etc/apt && mv *.list /etc/apt/sources.list.d && rmdir {aside}")
    inside("rm", "/etc/apt/sources.list.d/lab.list")


def inside(*argv: str) -> str:
    return machines.run_inside(paths.MACHINES / "hv01", *argv, tried=" ".join(argv)).strip()


def install(version: str) -> None:
    inside("apt-get", "-q", "-y", "--allow-downgrades", "install", f"pve-manager={version}")


def pvesh(*argv: str) -> object:
    return json.loads(inside("pvesh", *argv, "--output-format", "json"))


def log_in(
    tmp_path: Path, password: str, command: str, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """SSH with a password from an askpass program; the host key is believed by its fingerprint from the console."""
    scanned = subprocess.run(
        ["ssh-keyscan", "-t", "ed25519", "198.18.99.21"], capture_output=True, text=True, check=True
    )
    (tmp_path / "known_hosts").write_text(scanned.stdout)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "known_hosts"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[1] == (paths.SECRETS / "ssh/hv01.fingerprint").read_text().strip()
    (tmp_path / "askpass").write_text('#!/bin/sh\nprintf "%s\\n" "$PASSWORD"\n')
    (tmp_path / "askpass").chmod(0o700)
    ways = {"SSH_ASKPASS": str(tmp_path / "askpass"), "SSH_ASKPASS_REQUIRE": "force", "PASSWORD": password}
    argv = ["ssh", "-F", "none", f"-oUserKnownHostsFile={tmp_path / 'known_hosts'}", "-oStrictHostKeyChecking=yes"]
    argv += ["-oGlobalKnownHostsFile=/dev/null", "-oNumberOfPasswordPrompts=1", "-oLogLevel=ERROR", *options]
    return subprocess.run(
        [*argv, "root@198.18.99.21", command],
        env={**os.environ, **ways},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_root_gets_in_by_password_alone(installed: LabStatus, tmp_path: Path) -> None:
    password = (paths.SECRETS / "root.password").read_text()
    assert log_in(tmp_path, password, "hostname").stdout == "hv01\n"
    assert DENIED in log_in(tmp_path, "wrong", "hostname").stderr
    by_key = subprocess.run([*lab.ssh_command("hv01"), "hostname"], capture_output=True, text=True, check=False)
    assert (by_key.returncode, by_key.stdout) == (255, "")
    assert DENIED in by_key.stderr


def test_the_console_is_all_that_tells_its_host_key(installed: LabStatus) -> None:
    known = (paths.SECRETS / "ssh/known_hosts").read_text()
    assert "198.18.99.1 " in known
    assert "198.18.99.21" not in known
    assert sorted(file.name for file in paths.SECRETS.iterdir()) == ["pve-root-ca.pem", "root.password", "ssh"]
    assert installed.api is not None
    assert installed.api.tokens == {}


def test_pve_knows_root_and_the_template_and_nothing_else(installed: LabStatus) -> None:
    api = connect(installed)
    assert api.call("GET", "/version")["version"] == "8.4.0"
    assert [user["userid"] for user in api.call("GET", "/access/users", full=1)] == ["root@pam"]
    assert api.call("GET", "/access/users/root@pam/token") == []
    assert [role["roleid"] for role in api.call("GET", "/access/roles") if not role.get("special")] == []
    for path in ("/access/acl", "/access/groups", "/pools", "/cluster/backup"):
        assert api.call("GET", path) == [], path
    contents = {storage["storage"]: set(storage["content"].split(",")) for storage in api.call("GET", "/storage")}
    assert contents == {"local": {"iso", "vztmpl", "backup"}, "local-lvm": {"images", "rootdir"}}
    assert [(vm["vmid"], vm["template"]) for vm in api.call("GET", "/nodes/hv01/qemu")] == [(9000, 1)]


def test_pvesh_is_root_and_says_the_same(installed: LabStatus) -> None:
    assert pvesh("get", "/version") == connect(installed).call("GET", "/version")
    assert inside("pveversion").startswith("pve-manager/8.4.0/ec58e45e1bcdf2ac (running kernel: ")


def test_the_enterprise_repositories_fail(installed: LabStatus) -> None:
    done = machines.try_inside(paths.MACHINES / "hv01", "apt-get", "-q", "update")
    assert done.returncode == 100
    for path in ("debian/pve bookworm", "debian/ceph-quincy bookworm"):
        assert f"E: Failed to fetch http://198.18.99.1/{path.split()[0]}/dists/bookworm/InRelease  401" in done.stderr
    assert inside("apt-mark", "showhold") == ""
    assert "8.4.1" not in inside("apt-cache", "policy", "pve-manager")


def test_the_repository_has_older_and_newer_and_nothing_is_held(own_repository: None) -> None:
    listed = inside("apt-cache", "madison", "pve-manager")
    assert [line.split("|")[1].strip() for line in listed.splitlines()] == ["8.4.5", "8.4.1", "8.4.0"]
    install("8.4.1")
    assert pvesh("get", "/version") == {"release": "8.4", "repoid": "2a5fa54a8503f96d", "version": "8.4.1"}
    inside("apt-get", "-q", "-y", "upgrade")  # the trap: nothing keeps it
    assert inside("dpkg-query", "-W", "-f", "${Version}", "pve-manager") == "8.4.5"


def test_pve_keeps_roots_keys_in_its_own_file_system(installed: LabStatus) -> None:
    assert inside("readlink", "/root/.ssh/authorized_keys") == "/etc/pve/priv/authorized_keys"
    assert inside("cat", "/root/.ssh/authorized_keys") == inside("cat", "/root/.ssh/id_rsa.pub")


def test_it_starts_and_reboots_well(installed: LabStatus) -> None:
    assert inside("systemctl", "is-system-running") == "running"
    assert inside("systemctl", "is-active", "chrony") == "active"


def test_the_router_tells_the_time(installed: LabStatus) -> None:
    """What the hypervisor's chrony makes of it, once it is told of the router."""
    inside("sh", "-c", "echo 'server 198.18.99.1 iburst' >/etc/chrony/sources.d/lab.sources && chronyc reload sources")
    wait(lambda: "^* 198.18.99.1" in inside("chronyc", "-n", "sources") or None, deadline_s=20, what="time source")
    inside("sh", "-c", "rm /etc/chrony/sources.d/lab.sources && chronyc reload sources")


def test_the_installer_may_have_let_the_labs_key_in(free_machine: None, spec: LabSpec) -> None:
    lab.up(replace(spec, hypervisor_state="installed", root_key=True), progress=print)
    assert shell("hv01", "hostname") == "hv01"
    assert len(shell("hv01", "cat /root/.ssh/authorized_keys").splitlines()) == 2


def test_bootstrapped_is_what_may_be_asked_for(running_lab: LabStatus) -> None:
    assert connect(running_lab).call("GET", "/version")["version"] == "8.4.1"
    assert shell("hv01", "apt-mark showhold") == "pve-manager"
    assert "PasswordAuthentication no" in shell("hv01", "cat /etc/ssh/sshd_config.d/00-mgmt-harness.conf")
    assert json.loads(shell("hv01", "pvesh get /pools --output-format json"))[0]["poolid"] == "mgmt"
    assert shell("hv01", "apt-get -q -s -y upgrade | grep ^Inst || echo nothing") == "nothing"
