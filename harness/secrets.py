"""Read a secret from where the inventory says it is kept; its value goes into no argument, log or message."""

from __future__ import annotations

import importlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from harness import safe_yaml
from harness.contract import SecretRef
from harness.errors import HarnessError, Invalid, Missing, Refused
from harness.evidence import Secret, hide_secrets

_COMMAND_TIMEOUT_S = 60.0  # a password manager may ask its owner first
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_VAULT_HEADER = "$ANSIBLE_VAULT"
_PASSWORD_FILE = "ANSIBLE_VAULT_PASSWORD_FILE"  # noqa: S105 - the name of a variable


def read_secret(ref: SecretRef, *, base: Path) -> Secret:
    """The secret `ref` points to. `base` is the site's folder: relative files, commands and vault files start there."""
    match ref.kind:
        case "env":
            return _from_environment(str(ref.value))
        case "file":
            return _from_file(base / Path(str(ref.value)).expanduser())
        case "command":
            return _from_command([ref.value] if isinstance(ref.value, str) else list(ref.value), base)
        case "vault":
            return _from_vault(str(ref.value), base)


def _filled(text: str, *, on: str) -> Secret:
    value = text.rstrip("\r\n")
    if not value:
        raise Invalid(tried="read the secret", on=on, happened="it is empty", do=f"Put the secret into {on}")
    return Secret(value)


def _from_environment(name: str) -> Secret:
    on = f"the environment variable {name}"
    if name not in os.environ:
        raise Missing(tried="read the secret", on=on, happened="it is not set", do=f"Export {name} and try again")
    return _filled(os.environ[name], on=on)


def _from_file(file: Path) -> Secret:
    on = str(file)
    if file.exists() and not file.is_file():
        do = "Name the file that holds the secret"
        raise Invalid(tried="read the secret", on=on, happened="it is no regular file", do=do)
    try:
        with file.open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode  # of what was opened, not of what the name points to next
            if mode & _OTHERS:
                happened = f"others than its owner may use it (mode {stat.S_IMODE(mode):04o})"
                raise Invalid(tried="read the secret", on=on, happened=happened, do=f"Run `chmod 600 {file}`")
            return _filled(opened.read(), on=on)
    except FileNotFoundError as cause:
        do = f"Store the secret in {file} with mode 0600"
        raise Missing(tried="read the secret", on=on, happened="there is no such file", do=do) from cause
    except UnicodeDecodeError:
        # Not `from` the cause: it carries the file's bytes.
        raise Invalid(
            tried="read the secret", on=on, happened="it is no UTF-8 text", do="Store the secret as one line of text"
        ) from None
    except OSError as cause:
        do = "Make it readable for the user who runs this"
        raise Refused(tried="read the secret", on=on, happened=str(cause.strerror), do=do) from cause


def _from_command(argv: list[str], base: Path) -> Secret:
    on = f"the command {argv[0]}"
    try:
        ended = subprocess.run(
            argv,
            cwd=base,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as cause:
        do = f"Install {argv[0]} or mend the reference"
        raise Missing(tried="read the secret", on=on, happened="it is not installed", do=do) from cause
    except OSError as cause:
        do = "Mend the reference; it is an argument list and no shell line"
        raise Invalid(tried="read the secret", on=on, happened=str(cause.strerror), do=do) from cause
    except subprocess.TimeoutExpired:
        # Not `from` the cause: it carries what the command had printed.
        happened = f"it did not end within {_COMMAND_TIMEOUT_S:.0f} s"
        raise Refused(tried="read the secret", on=on, happened=happened, do="Unlock the password manager") from None
    if ended.returncode != 0:
        happened = f"it ended with status {ended.returncode}{_last_line(ended.stderr)}"
        raise Refused(tried="read the secret", on=on, happened=happened, do="Run it by hand and mend what it says")
    return _filled(ended.stdout, on=on)


def _last_line(text: str) -> str:
    lines = hide_secrets(text).strip().splitlines()
    return f" and said {lines[-1]!r}" if lines else ""


# --- Ansible Vault --------------------------------------------------------------------------------------------------

Decrypt = Callable[[str, Path], str]


def _from_vault(name: str, base: Path) -> Secret:
    on = f"the vault variable {name}"
    decrypt = _open_vault()
    found: list[tuple[Path, Any]] = []
    closed: list[HarnessError] = []  # a site may hold files of other vaults
    for file, text in _vars_files(base):
        try:
            found += [(file, value) for value in _values(name, text, file, decrypt)]
        except Refused as cause:
            closed.append(cause)
    if not found and closed:
        raise closed[0]
    if not found:
        do = f"Define {name} in a vault.yml below {base}"
        raise Missing(tried="read the secret", on=on, happened="no encrypted file of the site defines it", do=do)
    if len(found) > 1:
        happened = f"it is defined more than once ({', '.join(str(file) for file, _ in found)})"
        raise Invalid(tried="read the secret", on=on, happened=happened, do="Give each secret a name of its own")
    file, value = found[0]
    if not isinstance(value, str):
        raise Invalid(tried="read the secret", on=str(file), happened=f"{name} is no text", do="Put it in quotes")
    return _filled(value, on=on)


def _open_vault() -> Decrypt:
    """Ansible's own reader, so that password scripts work too; imported late, because few references need it."""
    password_file = os.environ.get(_PASSWORD_FILE)
    if not password_file:
        do = f"Set {_PASSWORD_FILE} to the file that holds the vault's password"
        on = "the Ansible Vault of the site"
        raise Missing(tried="open the vault", on=on, happened=f"{_PASSWORD_FILE} is not set", do=do)
    vault: Any = importlib.import_module("ansible.parsing.vault")
    loader: Any = importlib.import_module("ansible.parsing.dataloader").DataLoader()
    failure: type[Exception] = importlib.import_module("ansible.errors").AnsibleError
    try:
        password = vault.get_file_vault_secret(filename=password_file, loader=loader)
        password.load()
    except failure as cause:
        do = f"Mend {_PASSWORD_FILE}"
        raise Missing(tried="read the vault's password", on=password_file, happened=str(cause), do=do) from cause
    library = vault.VaultLib([("default", password)])

    def decrypt(text: str, file: Path) -> str:
        try:
            return str(library.decrypt(text.encode()).decode())
        except failure as cause:
            do = f"Check that {_PASSWORD_FILE} names the right password"
            raise Refused(tried="decrypt the vault", on=str(file), happened=str(cause), do=do) from cause

    return decrypt


def _vars_files(base: Path) -> Iterator[tuple[Path, str]]:
    for folder in ("group_vars", "host_vars"):
        for file in sorted((base / folder).rglob("*")):
            if file.is_file() and file.suffix in {"", ".yml", ".yaml"}:
                yield file, file.read_text(encoding="utf-8", errors="replace")


def _values(name: str, text: str, file: Path, decrypt: Decrypt) -> Iterator[Any]:
    """What one file says of `name`: a file encrypted whole, or a `!vault` value in a plain one."""
    if text.startswith(_VAULT_HEADER):
        data = _parse(decrypt(text, file), file)
        if isinstance(data, dict) and name in data:
            yield data[name]
    elif "!vault" in text and name in text:
        for key, value in _tagged(text, file):
            if key == name:
                yield decrypt(value, file)


def _parse(text: str, file: Path) -> Any:
    try:
        return safe_yaml.load(text)
    except yaml.YAMLError:
        # Not `from` the cause: it quotes the decrypted text.
        do = f"Run `ansible-vault edit {file}`"
        raise Invalid(tried="read the vault", on=str(file), happened="its content is no YAML", do=do) from None


def _tagged(text: str, file: Path) -> Iterator[tuple[str, str]]:
    try:
        node = yaml.compose(text, Loader=safe_yaml.LOADER)
    except yaml.YAMLError as cause:
        do = "Run inventory.check for this site; it names the line"
        raise Invalid(tried="read the vault", on=str(file), happened="it is no YAML", do=do) from cause
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if value.tag == "!vault":
            yield key.value, value.value
