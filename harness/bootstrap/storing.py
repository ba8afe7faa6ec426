"""Write a secret to where the inventory says it is kept; it stands in no argument, log or message."""

from __future__ import annotations

import glob
import os
import subprocess
import tempfile
from pathlib import Path

from harness.contract import SecretRef
from harness.errors import HarnessError, Missing, Refused
from harness.evidence import Secret, hide_secrets
from harness.secrets import read_secret

_COMMAND_TIMEOUT_S = 60.0  # a password manager may ask its owner first


def is_storable(ref: SecretRef) -> bool:
    """Whether we can write there: an environment ends with its process, and a vault is its owner's to edit."""
    return ref.kind == "file" or (ref.kind == "command" and ref.store is not None)


def where(ref: SecretRef) -> str:
    """The reference in words."""
    value = ref.value if isinstance(ref.value, str) else ref.value[0]
    kinds = {"env": "the environment variable", "file": "the file", "command": "the command", "vault": "the vault's"}
    return f"{kinds[ref.kind]} {value}"


def is_held(ref: SecretRef, *, base: Path) -> bool:
    """Whether the reference holds something; a place that cannot be read at all is a failure of its own."""
    try:
        read_secret(ref, base=base)
    except Missing:
        return False
    return True


def store_secret(ref: SecretRef, secret: Secret, *, base: Path) -> None:
    """Write it and read it back."""
    if ref.kind == "file":
        write_private(base / Path(str(ref.value)).expanduser(), f"{secret.reveal()}\n")
    elif ref.store is not None:
        _pipe(ref.store, secret, base)
    else:
        raise _refused(ref, "nothing can be written there", "Use {file: PATH} or {command: [...], store: [...]}")
    if read_secret(ref, base=base).reveal() != secret.reveal():
        raise _refused(ref, "it gives back another value than was written", "Mend the reference's store command")


def write_private(file: Path, text: str) -> None:
    """The file has this text and mode 0600, or what it had before."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        prefix = f".{file.name}.mgmt-harness-"
        for left in file.parent.glob(f"{glob.escape(prefix)}*"):
            left.unlink()  # of a run that was killed; the site's lock keeps others away
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=prefix, delete=False) as new:
            try:
                new.write(text)  # mkstemp has made it 0600
                new.flush()
                os.fsync(new.fileno())
                Path(new.name).replace(file)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
    except OSError as cause:
        do = "Make the folder writable for the user who runs this"
        raise Refused(tried="write the file", on=str(file), happened=cause.strerror or str(cause), do=do) from cause


def _pipe(argv: tuple[str, ...], secret: Secret, base: Path) -> None:
    on = f"the command {argv[0]}"
    try:
        ended = subprocess.run(
            argv,
            cwd=base,
            input=f"{secret.reveal()}\n",
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except OSError as cause:
        do = f"Install {argv[0]} or mend the reference"
        raise Missing(tried="store the secret", on=on, happened=cause.strerror or str(cause), do=do) from cause
    except subprocess.TimeoutExpired:
        # Not `from` the cause: it carries what the command had printed.
        happened = f"it did not end within {_COMMAND_TIMEOUT_S:.0f} s"
        raise Refused(tried="store the secret", on=on, happened=happened, do="Unlock the password manager") from None
    if ended.returncode != 0:
        told = hide_secrets(ended.stderr.replace(secret.reveal(), "[hidden]")).strip().splitlines()
        happened = f"it ended with status {ended.returncode}{f' and said {told[-1]!r}' if told else ''}"
        raise Refused(tried="store the secret", on=on, happened=happened, do="Run it by hand and mend what it says")


def _refused(ref: SecretRef, happened: str, do: str) -> HarnessError:
    return Refused(tried="store the secret", on=where(ref), happened=happened, do=do)
