"""A wrong host or a wrong word ends in one sentence, and the hypervisor is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bootstrap.installed import SECRETS, STATE, Installed, installed_lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_lab(tmp_path_factory.mktemp("installed")) as found:
        found.inside("touch /tmp/since && sleep 0.1")
        yield found


@pytest.fixture
def site(untouched: Installed) -> Iterator[Installed]:
    """The same host for every test: none may change it."""
    before, declared = untouched.inside(STATE), untouched.declared.read_text()
    pinned = SECRETS / "ssh/known_hosts"  # the router's; what an earlier test has learned is forgotten
    pinned.write_text("".join(line for line in pinned.read_text().splitlines(True) if "hv01" not in line))
    yield untouched
    untouched.declared.write_text(declared)
    assert untouched.inside(STATE) == before


@contextmanager
def broken(site: Installed, change: str, mend: str, host: str = "hv01") -> Iterator[None]:
    site.inside(change, host=host)
    try:
        yield
    finally:
        site.inside(mend, host=host)


def refused(site: Installed, *arguments: str) -> str:
    """The one sentence."""
    ended = site.bootstrap(*arguments)
    assert ended.status == 2, ended.said
    told = [line for line in ended.said.splitlines() if line.startswith("Could not ")]
    assert len(told) == 1, ended.said
    assert "Traceback" not in ended.said
    return told[0]


def test_a_wrong_password(site: Installed, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("not-the-password\n")
    (tmp_path / "wrong").chmod(0o600)
    site.declare("/var/lib/mgmt-lab/secrets/root.password", str(tmp_path / "wrong"))
    said = refused(site)
    assert "the password is wrong" in said
    assert "not-the-password" not in said


def test_check_looks_with_the_password_and_puts_no_key_there(site: Installed) -> None:
    ended = site.bootstrap("--check")
    assert ended.status == 0, ended.said
    assert "hv01 does not take our key yet: looking at it with the password" in ended.out
    assert "version: Install pve-manager 8.4.1: would change - 8.4.0 -> 8.4.1" in ended.out
    assert site.inside("cut -d' ' -f3 /root/.ssh/authorized_keys") == "root@hv01"


def test_a_host_key_that_is_not_the_declared_one(site: Installed) -> None:
    site.declare("{file: /var/lib/mgmt-lab/secrets/ssh/hv01.fingerprint}", f"SHA256:{'A' * 43}")
    said = refused(site)
    assert f"and the inventory declares SHA256:{'A' * 43}" in said
    assert "hv01" not in (SECRETS / "ssh/known_hosts").read_text()


def test_a_host_key_nobody_has_told(site: Installed) -> None:
    site.declare("    host_key_fingerprint: {file: /var/lib/mgmt-lab/secrets/ssh/hv01.fingerprint}\n", "")
    said = refused(site)
    assert "nobody has told its host key yet" in said
    assert "--trust-host-key" in said
    assert (SECRETS / "ssh/hv01.fingerprint").read_text().strip() in said


def test_a_host_key_that_is_not_the_pinned_one(site: Installed, tmp_path: Path) -> None:
    other = (SECRETS / "ssh/known_hosts").read_text().splitlines()[0].split(maxsplit=1)[1]  # the router's
    (tmp_path / "pinned").write_text(f"hv01 {other}\n")
    site.declare("known_hosts: /var/lib/mgmt-lab/secrets/ssh/known_hosts", f"known_hosts: {tmp_path / 'pinned'}")
    assert "the host key is not the pinned one" in refused(site)


def test_an_inventory_without_packages(site: Installed) -> None:
    site.declare("  packages:\n", "  packages: null\n")
    site.declare('    repositories: ["deb [trusted=yes] http://198.18.99.1/packages ./"]', "  #")
    assert "does not say where its packages come from" in refused(site)


def test_a_role_of_a_collection_that_is_not_installed(site: Installed) -> None:
    site.declare("  packages:\n", "  roles_after: [deevnet.builder.hypervisor]\n  packages:\n")
    assert "the collection deevnet.builder is not installed here" in refused(site)


@pytest.fixture
def contact(site: Installed) -> Iterator[Installed]:
    """Our key is let in, as if the installer had placed it, and taken out again."""
    public = (SECRETS / "ssh/id_ed25519.pub").read_text().strip()
    keys = "/etc/pve/priv/authorized_keys"
    with broken(site, f"cp -p {keys} /tmp/keys && echo '{public}' >>{keys}", f"cp -p /tmp/keys {keys}"):
        yield site


BROKEN = {
    "a member of a cluster": (
        "touch /etc/pve/corosync.conf",
        "rm /etc/pve/corosync.conf",
        "it is a member of a cluster (/etc/pve/corosync.conf)",
    ),
    "Proxmox VE 9": (
        "cp -a /var/lib/dpkg/status /tmp/status && sed -i '/^Package: pve-manager/,/^$/s/^Version: .*/Version: 9.0.3/'"
        " /var/lib/dpkg/status",
        "cp -a /tmp/status /var/lib/dpkg/status",
        "it runs Proxmox VE 9.0.3, and the inventory declares 8.4.1",
    ),
    "dpkg stopped half way": (
        "dpkg --unpack /srv/packages/pve-manager_8.4.0_all.deb",
        "dpkg --configure -a",
        "dpkg has not finished with pve-manager",
    ),
    "a full disk": (
        "mkdir -p /var/cache/apt/archives && mount -t tmpfs -o size=1m tmpfs /var/cache/apt/archives",
        "umount /var/cache/apt/archives",
        "MiB are free at /var/cache/apt/archives, 200 MiB are needed",
    ),
    "a shared storage": (
        "pvesh create /storage --storage nas --type nfs --server 198.18.99.9 --export /x --content backup",
        "pvesh delete /storage/nas",
        "its storage nas (nfs) is shared or remote",
    ),
}


@pytest.mark.parametrize(("change", "mend", "words"), BROKEN.values(), ids=BROKEN)
def test_a_host_that_must_not_be_changed(contact: Installed, change: str, mend: str, words: str) -> None:
    with broken(contact, change, mend):
        before = contact.inside(STATE)
        said = refused(contact)
        assert contact.inside(STATE) == before
    assert words in said
    assert "nothing was changed" in said


def test_a_repository_that_is_down(contact: Installed) -> None:
    with broken(contact, "systemctl stop artifacts", "systemctl start artifacts", host="core-rt01"):
        said = refused(contact)
    assert "the declared package repository does not answer" in said
    assert "198.18.99.1" in said


def test_a_repository_without_the_version(contact: Installed) -> None:
    contact.declare('pve_version: "8.4.1"', 'pve_version: "8.4.3"')
    assert "have no pve-manager 8.4.3, but 8.4.5, 8.4.1, 8.4.0" in refused(contact)


def test_a_secret_that_could_not_be_kept(contact: Installed) -> None:
    contact.declare("secret: {file: /var/lib/mgmt-lab/secrets/verify.token}", "secret: {env: VERIFY_TOKEN}")
    assert "cannot be written to the environment variable VERIFY_TOKEN" in refused(contact)
