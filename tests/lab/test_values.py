"""What the lab writes before anything runs: trees, seed, repository and record."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.commands.lab import up
from harness.lab import LabSpec, LabStatus, Seed, packages
from harness.lab.record import made_from
from harness.lab.seed import seed_of
from harness.lab.spec import LabSsh
from harness.lab.trees import write_file, write_tree

ROOT = Path(__file__).parents[2]
SPEC = LabSpec(dnsmasq={"lab.conf": "no-resolv\n"}, hypervisor_state="bootstrapped")


def test_tree_is_filled_in_and_has_its_own_modes(tmp_path: Path) -> None:
    (tmp_path / "from/etc").mkdir(parents=True)
    (tmp_path / "from/etc/@NAME@.conf").write_text("name=@NAME@ @OTHER@\n")
    (tmp_path / "from/run").write_text("#!/bin/sh\n")
    (tmp_path / "from/etc/@NAME@.conf").chmod(0o600)
    (tmp_path / "from/run").chmod(0o700)
    write_tree(tmp_path / "from", tmp_path / "to", {"NAME": "hv01"})
    assert (tmp_path / "to/etc/hv01.conf").read_text() == "name=hv01 @OTHER@\n"
    assert (tmp_path / "to/etc/hv01.conf").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "to/run").stat().st_mode & 0o777 == 0o755


def test_what_a_router_serves_can_change_and_its_kind_cannot() -> None:
    seed = Seed("lan0", "198.18.99.1", "lab.deevnet.net", (), (), ())
    kea = replace(SPEC, router_kind="kea", router_seed=seed)
    assert made_from(kea) == made_from(replace(kea, router_seed=replace(seed, domain="other")))
    assert made_from(kea) != made_from(replace(kea, router_kind="vyos"))


def test_secret_file_is_never_readable_by_others(tmp_path: Path) -> None:
    write_file(tmp_path / "secret", "old", 0o644)
    write_file(tmp_path / "secret", "new", 0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_seed_gives_no_right_to_anybody_it_does_not_make() -> None:
    seed = seed_of(SPEC)
    users = {user["userid"] for user in seed["users"]}
    tokens = {token["id"] for token in seed["tokens"]}
    assert {token.partition("!")[0] for token in tokens} <= users
    for entry in seed["acl"]:
        assert set(entry["roles"]) <= set(seed["roles"])
        assert set(entry["users"]) <= users
        assert set(entry["tokens"]) <= tokens


def test_seed_holds_no_secret() -> None:
    text = json.dumps(seed_of(SPEC))
    assert "root.password" in text
    assert "verify.token" in text
    assert '"password"' not in text
    assert '"secret"' not in text


def test_seed_of_an_installer_knows_root_only() -> None:
    seed = seed_of(LabSpec(dnsmasq={}))
    assert seed["users"] == [{"userid": "root@pam", "password_file": "root.password"}]
    assert seed.keys() == {"users", "storages", "vms", "options"}
    assert seed["vms"] == seed_of(SPEC)["vms"]


def test_other_router_files_and_another_distance_keep_the_lab() -> None:
    assert made_from(replace(SPEC, dnsmasq={})) == made_from(SPEC)
    assert made_from(replace(SPEC, latency="wan")) == made_from(SPEC)
    assert made_from(replace(SPEC, work="recorded")) == made_from(SPEC)
    assert made_from(replace(SPEC, pool="other")) != made_from(SPEC)
    assert made_from(replace(SPEC, hypervisor_state="installed")) != made_from(SPEC)


@pytest.mark.parametrize(
    ("asked", "known"), [({"latency": "far"}, "none, lan, wan"), ({"work": "slow"}, "instant, recorded")]
)
def test_what_no_lab_can_be_is_refused_with_what_it_can_be(
    asked: dict[str, str], known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up(ROOT / "inventory", "lab", **asked) == 2
    assert f"Use one of: {known}" in capsys.readouterr().err


def test_status_of_nothing_has_every_key() -> None:
    told = LabStatus(up=False).to_json()
    nothing = dict.fromkeys(("site", "hypervisor_state", "api", "ssh", "dns", "router", "latency", "work"))
    assert told == {"up": False, **nothing, "hosts": [], "guests": []}
    ssh = LabStatus(up=True, ssh=LabSsh("/key", ("/known",), "root")).to_json()["ssh"]
    assert ssh == {"identity_file": "/key", "known_hosts_files": ["/known"], "user": "root"}


def test_repository_lists_what_lies_in_it(tmp_path: Path) -> None:
    packages.build_repository(tmp_path)
    index = (tmp_path / "Packages").read_text()
    assert f" {hashlib.sha256(index.encode()).hexdigest()} {len(index)} Packages" in (tmp_path / "Release").read_text()
    for version in ("8.4.0", "8.4.1", "8.4.5"):
        package = tmp_path / f"pve-manager_{version}_all.deb"
        assert f"Filename: ./{package.name}\n" in index
        assert hashlib.sha256(package.read_bytes()).hexdigest() in index
        listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
        assert "./usr/bin/pveversion" in listed
        assert "-rwxr-xr-x root/root" in next(line for line in listed.splitlines() if "./usr/bin/pvesh" in line)
        assert "./lib/systemd/system/pveproxy.service" in listed
