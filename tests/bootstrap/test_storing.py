"""A secret goes to where the inventory says, whole or not at all, and is seen by nobody else."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from harness.bootstrap.storing import is_held, is_storable, store_secret
from harness.contract import SecretRef
from harness.errors import HarnessError
from harness.evidence import Secret

VALUE = "0a1b2c3d-secret"


def test_a_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    ref = SecretRef("file", str(tmp_path / "new" / "verify.token"))
    assert not is_held(ref, base=tmp_path)
    store_secret(ref, Secret(VALUE), base=tmp_path)
    file = tmp_path / "new" / "verify.token"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (f"{VALUE}\n", 0o600)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert is_held(ref, base=tmp_path)
    assert [one.name for one in file.parent.iterdir()] == ["verify.token"]


def test_an_old_value_is_replaced_whatever_its_mode_was(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("old\n")
    (tmp_path / "t").chmod(0o644)
    store_secret(SecretRef("file", "t"), Secret(VALUE), base=tmp_path)
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o600


def test_what_a_killed_run_left_beside_it_goes(tmp_path: Path) -> None:
    (tmp_path / ".verify.token.mgmt-harness-a1b2").write_text("half a secret")
    (tmp_path / ".verify.token.mine").write_text("somebody's own")
    store_secret(SecretRef("file", "verify.token"), Secret(VALUE), base=tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".verify.token.mine", "verify.token"]


def test_a_command_takes_it_on_standard_input(tmp_path: Path) -> None:
    show = (sys.executable, "-c", "print(open('kept').read())")
    store = (sys.executable, "-c", "import sys; open('kept', 'w').write(sys.stdin.read().strip())")
    store_secret(SecretRef("command", show, store), Secret(VALUE), base=tmp_path)
    assert (tmp_path / "kept").read_text() == VALUE


def test_a_command_that_fails_does_not_tell_the_secret(tmp_path: Path) -> None:
    store = (sys.executable, "-c", "import sys; sys.exit('no: ' + sys.stdin.read())")
    with pytest.raises(HarnessError) as failure:
        store_secret(SecretRef("command", ("true",), store), Secret(VALUE), base=tmp_path)
    assert "no: [hidden]" in str(failure.value)
    assert VALUE not in str(failure.value)


def test_a_store_that_forgets_is_found_out(tmp_path: Path) -> None:
    ref = SecretRef("command", (sys.executable, "-c", "print('another')"), ("true",))
    with pytest.raises(HarnessError, match="gives back another value"):
        store_secret(ref, Secret(VALUE), base=tmp_path)


@pytest.mark.parametrize("kind", ["env", "vault"])
def test_nothing_is_written_to_an_environment_or_a_vault(kind: str, tmp_path: Path) -> None:
    ref = SecretRef("env" if kind == "env" else "vault", "NAME")
    assert not is_storable(ref)
    with pytest.raises(HarnessError, match="nothing can be written there"):
        store_secret(ref, Secret(VALUE), base=tmp_path)
