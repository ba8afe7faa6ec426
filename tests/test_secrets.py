"""A secret is read from where it is kept, or one sentence says why not; it never shows itself."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from harness.contract import SecretRef
from harness.errors import HarnessError, Invalid, Missing, Refused
from harness.evidence import Secret
from harness.secrets import read_secret

VALUE = "s3cr3t-0f-th3-t3st"


def stored(file: Path, text: str = VALUE + "\n", mode: int = 0o600) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def refused(kind: type[HarnessError], ref: SecretRef, base: Path) -> str:
    """The sentence of the refusal; neither it nor its traceback holds the value."""
    with pytest.raises(kind) as caught:
        read_secret(ref, base=base)
    assert VALUE not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_reads_a_file_without_its_last_newline(tmp_path: Path) -> None:
    stored(tmp_path / "keys/token")
    found = read_secret(SecretRef("file", "keys/token"), base=tmp_path)
    assert isinstance(found, Secret)
    assert found.reveal() == VALUE
    assert VALUE not in repr(found)
    assert read_secret(SecretRef("file", str(tmp_path / "keys/token")), base=Path("/nowhere")).reveal() == VALUE


def test_a_file_below_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "token", mode=0o400)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_secret(SecretRef("file", "~/token"), base=Path("/nowhere")).reveal() == VALUE


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = stored(tmp_path / "token", mode=mode)
    assert f"mode {mode:04o}" in refused(Invalid, SecretRef("file", "token"), tmp_path)
    assert f"chmod 600 {file}" in refused(Invalid, SecretRef("file", "token"), tmp_path)


def test_other_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    assert "no such file" in refused(Missing, SecretRef("file", "token"), tmp_path)
    assert "no regular file" in refused(Invalid, SecretRef("file", "."), tmp_path)
    stored(tmp_path / "empty", "\n")
    assert "it is empty" in refused(Invalid, SecretRef("file", "empty"), tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + VALUE.encode())
    (tmp_path / "binary").chmod(0o600)
    assert "no UTF-8" in refused(Invalid, SecretRef("file", "binary"), tmp_path)


def test_reads_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGMT_TEST_TOKEN", VALUE)
    assert read_secret(SecretRef("env", "MGMT_TEST_TOKEN"), base=tmp_path).reveal() == VALUE
    monkeypatch.setenv("MGMT_TEST_TOKEN", "")
    assert "it is empty" in refused(Invalid, SecretRef("env", "MGMT_TEST_TOKEN"), tmp_path)
    monkeypatch.delenv("MGMT_TEST_TOKEN")
    assert "Export MGMT_TEST_TOKEN" in refused(Missing, SecretRef("env", "MGMT_TEST_TOKEN"), tmp_path)


def test_reads_a_command_in_the_sites_folder_without_a_shell(tmp_path: Path) -> None:
    stored(tmp_path / "kept; echo other")
    assert read_secret(SecretRef("command", ("cat", "kept; echo other")), base=tmp_path).reveal() == VALUE


def test_a_command_that_fails_says_how_and_not_what(tmp_path: Path) -> None:
    script = stored(tmp_path / "pass", f"#!/bin/sh\necho {VALUE}\necho 'the store is locked' >&2\nexit 3\n", 0o700)
    text = refused(Refused, SecretRef("command", (str(script),)), tmp_path)
    assert "status 3" in text
    assert "the store is locked" in text
    assert "it is not installed" in refused(Missing, SecretRef("command", ("no-such-program-here",)), tmp_path)
    assert "it is empty" in refused(Invalid, SecretRef("command", ("true",)), tmp_path)
    unrunnable = stored(tmp_path / "text", "no program")
    assert "no shell line" in refused(Invalid, SecretRef("command", (str(unrunnable),)), tmp_path)


# --- Ansible Vault --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vaulted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a whole encrypted file and an encrypted value, both made by the real ansible-vault."""
    site = tmp_path_factory.mktemp("vault") / "site"
    password = stored(site.parent / "password", "open sesame\n")
    whole = stored(site / "host_vars/hv01/vault.yml", f'vault_token: "{VALUE}"\nvault_number: 7\nvault_twice: a\n')
    run_vault("encrypt", "--vault-password-file", str(password), str(whole))
    single = run_vault("encrypt_string", "--vault-password-file", str(password), "--name", "vault_inline", VALUE)
    stored(site / "group_vars/all/main.yml", f"plain: 1\n{single}")
    again = stored(site / "group_vars/all/vault.yml", "vault_twice: b\n")
    run_vault("encrypt", "--vault-password-file", str(password), str(again))
    other = stored(site.parent / "other", "another password\n")
    closed = stored(site / "group_vars/switches/vault.yml", "vault_switch: c\n")
    run_vault("encrypt", "--vault-password-file", str(other), str(closed))
    return site


def run_vault(*arguments: str) -> str:
    program = Path(sys.executable).parent / "ansible-vault"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ended = subprocess.run([program, *arguments], check=True, capture_output=True, text=True, env=environment)
    return ended.stdout


@pytest.fixture
def opened(vaulted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(vaulted.parent / "password"))
    return vaulted


def test_reads_an_encrypted_file_and_an_encrypted_value(opened: Path) -> None:
    """A file of another vault beside them is no hindrance."""
    assert read_secret(SecretRef("vault", "vault_token"), base=opened).reveal() == VALUE
    assert read_secret(SecretRef("vault", "vault_inline"), base=opened).reveal() == VALUE


def test_reads_the_password_from_a_script(opened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = stored(tmp_path / "ask", "#!/bin/sh\necho open sesame\n", 0o700)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(script))
    assert read_secret(SecretRef("vault", "vault_token"), base=opened).reveal() == VALUE


def test_a_vault_that_cannot_answer_says_why(opened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "defined more than once" in refused(Invalid, SecretRef("vault", "vault_twice"), opened)
    assert "is no text" in refused(Invalid, SecretRef("vault", "vault_number"), opened)
    text = refused(Refused, SecretRef("vault", "vault_switch"), opened)
    assert "switches/vault.yml" in text
    (tmp_path / "host_vars").mkdir()
    assert "no encrypted file" in refused(Missing, SecretRef("vault", "vault_token"), tmp_path)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "gone"))
    assert "was not found" in refused(Missing, SecretRef("vault", "vault_token"), opened)
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE")
    assert "ANSIBLE_VAULT_PASSWORD_FILE is not set" in refused(Missing, SecretRef("vault", "vault_token"), opened)


def test_a_broken_vault_file_is_not_quoted(tmp_path: Path, opened: Path) -> None:
    broken = stored(tmp_path / "site/host_vars/vault.yml", f"vault_token: [{VALUE}\n")
    run_vault("encrypt", "--vault-password-file", str(opened.parent / "password"), str(broken))
    assert "no YAML" in refused(Invalid, SecretRef("vault", "vault_token"), tmp_path / "site")
