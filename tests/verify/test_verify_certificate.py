"""The web interface is who the inventory pins, by fingerprint or by the authority that vouches for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.contract import SecretRef
from harness.errors import Invalid, Unreachable
from harness.verify.certificate import read_pin, who_vouches
from tests import sites
from tests.pve.served import make_certificate
from tests.simulators import simulating

PIN = ":".join(["AB"] * 32)


def test_an_authority_vouches_for_its_own_certificate_and_for_no_other(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    certificate, key = make_certificate(tmp_path / "own")
    other, _ = make_certificate(tmp_path / "other")
    with simulating(tmp_path, certificate, key) as pve:
        assert who_vouches(pve.url, certificate) == str(certificate)
        assert who_vouches(pve.url, other).startswith("a certificate it does not vouch for (")
    with pytest.raises(Unreachable, match="open a TLS connection"):
        who_vouches(pve.url, certificate)


def test_a_file_that_is_no_authority_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(Invalid, match=f"read the pinned authority on {file}"):
            who_vouches("https://127.0.0.1:1", file)


def test_a_pin_is_read_where_the_inventory_keeps_it(tmp_path: Path) -> None:
    api = sites.api()
    (tmp_path / "fingerprint").write_text(f"SHA256 Fingerprint={PIN.lower()}\n")
    (tmp_path / "fingerprint").chmod(0o600)
    assert read_pin(replace(api, fingerprint=SecretRef("file", "fingerprint")), tmp_path) == PIN
    assert read_pin(replace(api, fingerprint=PIN), tmp_path) == PIN
    assert read_pin(replace(api, fingerprint=None, ca_file=tmp_path / "ca.pem"), tmp_path) == str(tmp_path / "ca.pem")
