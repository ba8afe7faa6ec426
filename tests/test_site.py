"""Opening a site says what is missing in the user's terms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import embedded, site
from harness.contract import ApiToken, Contract, SecretRef
from harness.errors import Invalid, Missing
from tests import sites


def test_a_lab_that_is_down_is_named_not_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STATE", tmp_path / "lab")
    token = ApiToken("verify@pve!harness", SecretRef("file", str(tmp_path / "lab/secrets/verify.token")))
    with pytest.raises(Missing, match=r"it is not up\. .*: \./invoke lab\.up, \./invoke bootstrap\."):
        site.open_reader(_contract(tokens={"verify": token}))


def test_a_hypervisor_that_nobody_has_bootstrapped_is_named(tmp_path: Path) -> None:
    token = ApiToken("verify@pve!harness", SecretRef("file", str(tmp_path / "verify.token")))
    with pytest.raises(
        Missing, match=r"no such file\. Bootstrap the hypervisor.*: \./invoke bootstrap; or else: Store"
    ):
        site.open_reader(_contract(tokens={"verify": token}))


def test_a_token_that_is_not_declared_is_asked_for() -> None:
    with pytest.raises(Invalid, match="has no `provision`"):
        site.open_writer(_contract(tokens={}))


def _contract(tokens: dict[str, ApiToken]) -> Contract:
    contract = sites.contract()
    api = replace(contract.hypervisor.api, tokens=tokens)
    return replace(contract, hypervisor=replace(contract.hypervisor, api=api))
