"""Build the disk image that a nested site's template is made of: Debian with an SSH server and QEMU's guest agent."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Missing
from harness.nested.programs import ON, is_here, run
from harness.nested.room import require_disk
from harness.nested.spec import Progress
from harness.nested.turns import one_at_a_time

TRIED = "build the template's image"
FILES = Path(__file__).parent / "files" / "image"
SUITE = "bookworm"
INCLUDED = (
    "ca-certificates,dbus,initramfs-tools,iproute2,iputils-ping,linux-image-cloud-amd64,netbase,openssh-server,"
    "procps,python3,qemu-guest-agent,sudo,systemd-resolved,systemd-sysv,systemd-timesyncd,udev"
)
UNUSED_PATHS = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
# Program, or file with a leading slash -> Debian package
PACKAGES = {
    "grub-mkimage": "grub-common",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
}
ROOT_SHELL = "/bin/bash"

SECTOR = 512
ROOT_START = 2048  # sectors; GRUB's core lies before it
BOOT_CODE = 440
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal", "test", "minicmd", "reboot")
GRUB_CONFIG = """\
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=0
menuentry Debian {
    linux /vmlinuz root=LABEL=root ro net.ifnames=1 console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
"""
GIB = 1 << 30


@dataclass(frozen=True)
class ImageSpec:
    """`sources` are lines of apt's; the image's own updates come from there, too."""

    file: Path
    checksum_file: Path
    user: str  # logs in with the key and becomes root by sudo
    public_key: str
    sources: tuple[str, ...]
    disk_gib: int


def missing_image_packages() -> list[str]:
    """The Debian packages that building an image needs and that are not here."""
    return sorted({package for name, package in PACKAGES.items() if not is_here(name)})


def build_image(spec: ImageSpec, progress: Progress) -> None:
    """Leave image and checksum (as sha256sum writes it) where the spec says; nothing is done when they are there."""
    spec.file.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(_beside(spec, "lock"), tried=TRIED):
        _build_missing(spec, progress)


def _build_missing(spec: ImageSpec, progress: Progress) -> None:
    recipe, wanted = _beside(spec, "recipe"), _recipe_of(spec)
    if spec.file.exists() and spec.checksum_file.exists() and recipe.exists() and recipe.read_text() == wanted:
        progress.say(f"The template's image is there: {spec.file}")
        return
    if packages := missing_image_packages():
        do = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
        raise Missing(tried=TRIED, on=ON, happened=f"not installed: {', '.join(packages)}", do=do)
    unfinished = _beside(spec, "unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # a killed run left it
    unfinished.mkdir()
    require_disk(spec.file.parent, {"the image while it is made": 3 * GIB}, tried=TRIED)
    progress.say("Building the template's image (about two minutes, once)")
    try:
        image = _build(spec, unfinished)
        recipe.unlink(missing_ok=True)  # whoever is cut off from here on builds anew
        with image.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        image.rename(spec.file)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    spec.checksum_file.write_text(f"{digest}  {spec.file.name}\n")
    recipe.write_text(wanted)
    progress.say(f"The template's image is done: {spec.file}")


def _beside(spec: ImageSpec, kind: str) -> Path:
    return spec.file.with_name(f"{spec.file.name}.{kind}")


def _recipe_of(spec: ImageSpec) -> str:
    """A hash of everything that is declared; the packages are those of the day it was built."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for file in _files():
        digest.update(f"\0{file.relative_to(FILES)}\0".encode() + file.read_bytes())
    digest.update("\0".join((spec.user, spec.public_key, str(spec.disk_gib))).encode())
    return f"{digest.hexdigest()}\n"


def _build(spec: ImageSpec, folder: Path) -> Path:
    tree, root, disk, image = (folder / name for name in ("tree", "root.ext4", "disk.raw", "image.qcow2"))
    _bootstrap(tree, spec.sources)
    _settle(tree, spec)
    size = spec.disk_gib * GIB - ROOT_START * SECTOR
    file_system = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(tree), str(root), f"{size // 1024}k"]
    run(file_system, tried=TRIED, on=str(root), do="Free space there")
    shutil.rmtree(tree)
    _partition(disk, root, _grub_core(folder), size)
    root.unlink()
    convert = ["qemu-img", "convert", "-c", "-O", "qcow2", str(disk), str(image)]
    run(convert, tried=TRIED, on=str(image), do="Free space there")
    return image


def _bootstrap(tree: Path, sources: Iterable[str]) -> None:
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={INCLUDED}"]
    argv += [f"--dpkgopt=path-exclude={path}" for path in UNUSED_PATHS]
    argv += ["--dpkgopt=force-unsafe-io", SUITE, str(tree), *sources]
    run(argv, tried=TRIED, on=ON, do="Check that `apt-get update` works on this machine, then run it again")


def _settle(tree: Path, spec: ImageSpec) -> None:
    """What no package brings; nothing that clones must not share stays."""
    for file in _files():
        target = tree / str(file.relative_to(FILES)).replace("@USER@", spec.user)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text().replace("@USER@", spec.user))
        target.chmod(0o440 if target.parent.name == "sudoers.d" else 0o644)
    inside = ("chroot", str(tree))
    for command in (
        ("useradd", "--create-home", "--shell", ROOT_SHELL, spec.user),
        ("systemctl", "enable", "systemd-networkd.service", "ssh-host-keys.service", "serial-getty@ttyS0.service"),
    ):
        run([*inside, *command], tried=TRIED, on=str(tree), do="Look at what it said")
    home = tree / "home" / spec.user
    keys = home / ".ssh" / "authorized_keys"
    keys.parent.mkdir(mode=0o700)
    keys.write_text(f"{spec.public_key}\n")
    keys.chmod(0o600)
    owner = home.stat()
    for path in (keys, keys.parent):
        os.chown(path, owner.st_uid, owner.st_gid)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")  # the first boot makes one; without the file it would ask questions
    (tree / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (tree / "etc/hostname").write_text("template\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")
    (tree / "boot/grub").mkdir(exist_ok=True)
    (tree / "boot/grub/grub.cfg").write_text(GRUB_CONFIG)


def _files() -> list[Path]:
    return sorted(path for path in FILES.rglob("*") if path.is_file())


def _grub_core(folder: Path) -> bytes:
    core = folder / "core.img"
    argv = ["grub-mkimage", "-O", "i386-pc", "-o", str(core), "-p", "(hd0,msdos1)/boot/grub", *GRUB_MODULES]
    run(argv, tried=TRIED, on=str(core), do="Look at the package grub-pc-bin")
    return core.read_bytes()


def _partition(disk: Path, root: Path, core: bytes, root_bytes: int) -> None:
    """GRUB's boot code expects the rest of itself right behind it; the one partition follows."""
    code = Path("/usr/lib/grub/i386-pc/boot.img").read_bytes()[:BOOT_CODE]
    sectors = (root_bytes // SECTOR).to_bytes(4, "little")
    entry = struct.pack("<B3sB3sI4s", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", ROOT_START, sectors)
    with disk.open("wb") as file:
        file.write(code + bytes(6) + entry + bytes(48) + b"\x55\xaa")
        file.write(core)
    assert disk.stat().st_size < ROOT_START * SECTOR  # noqa: S101 - else the file system would lie over it
    dd = ["dd", f"if={root}", f"of={disk}", "bs=1M", "seek=1", "conv=sparse,notrunc", "status=none"]
    run(dd, tried=TRIED, on=str(disk), do="Free space there")
    os.truncate(disk, ROOT_START * SECTOR + root_bytes)
