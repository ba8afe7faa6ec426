"""The nested Proxmox VM's commands: what the contract of its site asks for, handed over as plain values."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness import lab, nested
from harness.commands.front import front
from harness.commands.setup import install_missing
from harness.commands.shares import ShareProgress
from harness.contract import Contract, Nested, SecretRef, Ssh
from harness.errors import HarnessError, Invalid
from harness.evidence import Secret
from harness.nested import ImageSpec, NestedSpec
from harness.printing import console
from harness.secrets import read_secret
from harness.site import open_contract

CACHE = Path("/var/cache/mgmt-nested")
PASSWORD_BYTES = 18


@front
def build(inventory: Path, site: str) -> int:
    """Install the hypervisor of a nested site and keep its disk; nothing is done when that disk is there."""
    out = console()
    contract = open_contract(inventory, site)
    wanted = nested_of(contract)
    install_missing(out, nested.missing_packages(wanted.machine.firmware), "building needs")
    make_credentials(contract)
    images = list(_images_of(contract))
    if images:
        install_missing(out, nested.missing_image_packages(), "the template's image needs")
    with ShareProgress(out) as progress:
        for image in images:
            nested.build_image(image, progress)
        nested.build(spec_of(contract), progress)
    return 0


def _images_of(contract: Contract) -> Iterator[ImageSpec]:
    """What the templates of the site are made of, where that is made here."""
    for key, disk_gib in nested_of(contract).images.items():
        template = contract.hypervisor.templates[key]
        image = template.image
        assert image is not None  # noqa: S101 - a sound nested site has all three
        assert image.file is not None  # noqa: S101
        assert image.checksum_file is not None  # noqa: S101
        yield ImageSpec(
            file=image.file,
            checksum_file=image.checksum_file,
            user=template.user,
            public_key=_public_key_of(contract.hypervisor.ssh).read_text().strip(),
            sources=tuple(lab.debian_sources()),
            disk_gib=disk_gib,
        )


def spec_of(contract: Contract) -> NestedSpec:
    """What the nested hypervisor is made of; the credentials the inventory refers to are there."""
    wanted, ssh = nested_of(contract), contract.hypervisor.ssh
    return NestedSpec(
        site=contract.site,
        iso=wanted.iso,
        machine=wanted.machine,
        answer=wanted.answer,
        password=_password(contract, ssh),
        public_key=_public_key_of(ssh).read_text().strip(),
        cache=cache_folder(),
    )


def cache_folder() -> Path:
    """Where ISO and golden disks are kept; nothing of it belongs to a running machine."""
    said = os.environ.get("MGMT_NESTED_CACHE")
    return Path(said).expanduser() if said else CACHE


def nested_of(contract: Contract) -> Nested:
    """How the site's hypervisor is installed; Invalid where it is a machine that is there already."""
    if contract.nested is None:
        raise Invalid(
            tried="build a nested hypervisor",
            on=f"site {contract.site}",
            happened="its inventory has no mgmt_nested: its hypervisor is no virtual machine of ours",
            do="Use --site nested, or describe such a site",
        )
    return contract.nested


def make_credentials(contract: Contract) -> None:
    """Root's password and key, where the inventory refers to files that are not there: the machine is ours alone."""
    ssh = contract.hypervisor.ssh
    if ssh.password is not None and ssh.password.kind == "file":
        file = contract.site_folder / str(ssh.password.value)
        if not file.exists():
            _write_secret(file, secrets.token_urlsafe(PASSWORD_BYTES))
    if ssh.identity_file is not None and not ssh.identity_file.exists():
        _make_key(ssh.identity_file)


def _password(contract: Contract, ssh: Ssh) -> Secret:
    assert isinstance(ssh.password, SecretRef)  # noqa: S101 - a sound nested site has it
    return read_secret(ssh.password, base=contract.site_folder)


def _public_key_of(ssh: Ssh) -> Path:
    assert ssh.identity_file is not None  # noqa: S101 - a sound nested site has it
    file = ssh.identity_file.with_name(f"{ssh.identity_file.name}.pub")
    if not file.exists():
        raise Invalid(
            tried="read root's key",
            on=str(file),
            happened="there is no such file beside the private key",
            do=f"Write it: ssh-keygen -y -f {ssh.identity_file} >{file}",
        )
    return file


def _write_secret(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{text}\n")


def _make_key(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mgmt-nested", "-f", str(file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        happened = done.stderr.strip() or f"ssh-keygen ended with {done.returncode}"
        raise HarnessError(
            tried="make root's key", on=str(file), happened=happened, do=f"Let root write to {file.parent}"
        )
