"""Pinned keys are found as OpenSSH finds them, and changed only by those who mean to."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import errors
from harness.remote.known_hosts import HostKey, compare, learn, look_up, parse, parse_key, pin

# Made with ssh-keygen for these tests; the fingerprints are what `ssh-keygen -lf` prints for them.
ED = parse_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICSLnhK2DBWpAtdzaCFSht1LNoyyhSY8/EOmL2TGsN9y root@a")
ED2 = parse_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJd1KqQzmlaDUwa2tuMhht4j8vrp1rqIItYCzpXC2GI2 root@b")
EC = parse_key(
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOHSYQWQU6NlJx3LFZpU+VcGPUhl"
    "Wft6VsRZU7UKjDc9l169fkTyUvbTaqO2CQmxu2afAMfRzU9KJvLYTF0H6zY="
)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs the package openssh-client")
def test_fingerprint_is_openssh_s(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"{ED}\n")
    said = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert ED.fingerprint in said.split()


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 %%%", "ssh-rsa AAAAC3NzaC1lZDI1NTE5", "# comment x"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(errors.Invalid, match="no public key"):
        parse_key(text)


def test_reads_what_ssh_reads(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# a comment\n\nhv01,198.18.99.21 {ED} a comment\n[hv01]:2222 {ED2}\n*.lab.example,!bad.lab.example {EC}\n"
        f"@revoked hv01 {EC}\nbroken line\n"
    )
    assert len(parse(file.read_text())) == 4
    assert look_up([file], "hv01") == {ED}
    assert look_up([file], "HV01") == {ED}
    assert look_up([file], "198.18.99.21") == {ED}
    assert look_up([file], "hv01", port=2222) == {ED2}
    assert look_up([file], "a.lab.example") == {EC}
    assert look_up([file], "bad.lab.example") == frozenset()
    assert look_up([file, tmp_path / "absent"], "other") == frozenset()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs the package openssh-client")
def test_finds_names_that_ssh_hashed(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"hv01 {ED}\nhv02 {ED2}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "hv01" not in file.read_text()
    assert look_up([file], "hv01") == {ED}
    assert pin(file, "hv01", None, [EC])
    assert look_up([file], "hv01") == {EC}
    assert look_up([file], "hv02") == {ED2}


@pytest.mark.parametrize(
    ("pinned", "offered", "verdict"),
    [
        ([], [ED], "unknown"),
        ([ED], [ED], "same"),
        ([ED], [ED, EC], "same"),
        ([ED, EC], [ED], "same"),
        ([ED], [ED2], "changed"),
        ([ED, EC], [ED2, EC], "changed"),
        ([ED], [EC], "changed"),
        ([ED], [], "changed"),
    ],
)
def test_compares(pinned: Iterable[HostKey], offered: Iterable[HostKey], verdict: str) -> None:
    assert compare(pinned, offered) == verdict


def test_pins_and_pins_again(tmp_path: Path) -> None:
    file = tmp_path / "state" / "known_hosts"
    assert pin(file, "vm", "198.18.99.30", [ED, EC])
    assert not pin(file, "vm", "198.18.99.30", [EC, ED])
    assert pin(file, "vm", "198.18.99.30", [ED2])
    assert file.read_text() == f"vm,198.18.99.30 {ED2}\n"
    assert [path.name for path in file.parent.iterdir()] == ["known_hosts"]


def test_pinning_leaves_others_alone(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    others = f"# by hand\n*.example {EC}\n@revoked vm {EC}\nhv01 {ED}\n"
    file.write_text(others + f"vm,old {ED}\n")
    pin(file, "vm", "198.18.99.30", [ED2])
    assert file.read_text() == others + f"old {ED}\nvm,198.18.99.30 {ED2}\n"


def test_an_address_that_moved_belongs_to_its_new_owner(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    pin(file, "old-vm", "198.18.99.30", [ED])
    pin(file, "new-vm", "198.18.99.30", [ED2])
    assert look_up([file], "198.18.99.30") == {ED2}
    assert look_up([file], "old-vm") == {ED}


def test_nothing_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="no key to pin"):
        pin(tmp_path / "known_hosts", "vm", None, [])


def test_guests_made_in_parallel_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    names = [f"vm{i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: pin(file, name, None, [ED]), names))
    assert sorted(entry.patterns[0] for entry in parse(file.read_text())) == sorted(names)


def test_learns_on_first_contact_only(tmp_path: Path) -> None:
    committed, learned = tmp_path / "committed", tmp_path / "learned"
    first = learn([committed], learned, "vm", "198.18.99.30", [ED, EC])
    assert (first.new, first.keys, first.file) == (True, frozenset({ED, EC}), learned)
    assert not learn([committed], learned, "vm", "198.18.99.30", [ED, EC]).new
    with pytest.raises(
        errors.Untrusted, match=rf"offers ssh-ed25519 {re.escape(ED2.fingerprint)}.*pinned is .*rebuilt by you"
    ):
        learn([committed], learned, "vm", "198.18.99.30", [ED2])
    assert look_up([learned], "vm") == {ED, EC}


def test_what_the_inventory_pins_is_never_learned_over(tmp_path: Path) -> None:
    committed, learned = tmp_path / "committed", tmp_path / "learned"
    committed.write_text(f"hv01 {ED}\n")
    assert not learn([committed], learned, "hv01", None, [ED]).new
    with pytest.raises(errors.Untrusted):
        learn([committed], learned, "hv01", None, [ED2])
    assert not learned.exists()
