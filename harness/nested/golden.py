"""Find the golden disk of a nested hypervisor by the hash of everything that went into it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.nested.spec import NestedSpec

# Raised when the same inputs are to become another disk.
RECIPE = 1
KEY_DIGITS = 16

DISK = "disk.qcow2"
EFIVARS = "efivars.fd"
INSTALLED = "installed.json"
MANIFEST = "manifest.json"
SERIAL = "serial.log"


@dataclass(frozen=True)
class Installed:
    """What the installer told of the system it made, before the machine was switched off."""

    fqdn: str
    product_version: str
    host_keys: tuple[str, ...]  # OpenSSH public keys: whoever logs in first knows them already


@dataclass(frozen=True)
class Golden:
    """An installed disk; it is never written to, overlays stand on it."""

    key: str
    folder: Path
    installed: Installed

    @property
    def disk(self) -> Path:
        return self.folder / DISK

    @property
    def efivars(self) -> Path | None:
        """With UEFI: each machine that starts from the disk wants a copy of its own."""
        file = self.folder / EFIVARS
        return file if file.exists() else None

    @property
    def serial_log(self) -> Path:
        return self.folder / SERIAL


def golden_key(spec: NestedSpec) -> str:
    """Two equal keys are two equal disks. A short password cannot be found by trying keys."""
    inputs = {
        "recipe": RECIPE,
        "iso": spec.iso.sha256,
        "machine": asdict(spec.machine),
        "answer": spec.answer,
        "public_key": spec.public_key,
    }
    salt = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()
    digest = hashlib.scrypt(spec.password.reveal().encode(), salt=salt, n=2**14, r=8, p=1)
    return digest.hex()[:KEY_DIGITS]


def folder_of(spec: NestedSpec, kind: str) -> Path:
    """Where this disk is, is being built, or what is left of an attempt: golden, building, failed."""
    return spec.cache / kind / f"{spec.site}-{golden_key(spec)}"


def find_golden(spec: NestedSpec) -> Golden | None:
    """The disk of that spec, if it has been built."""
    folder = folder_of(spec, "golden")
    if not (folder / MANIFEST).exists():
        return None
    return Golden(golden_key(spec), folder, read_installed(folder / INSTALLED))


def read_installed(file: Path) -> Installed:
    """What the installer's hook sent."""
    try:
        said: dict[str, Any] = json.loads(file.read_text())
        keys: dict[str, str] = said["ssh-public-host-keys"]
        return Installed(said["fqdn"], said["product"]["version"], tuple(key.strip() for key in keys.values()))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise HarnessError(
            tried="read what the installer told of the new system",
            on=str(file),
            happened=f"{type(cause).__name__}: {cause}",
            do="Remove that folder and build the disk again",
        ) from cause
