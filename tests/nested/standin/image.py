"""Make a medium that behaves as the installer's does, of Debian's kernel, busybox and GRUB, for BIOS and UEFI."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path("/var/cache/mgmt-tests")
# Program, or file with a leading slash -> Debian package
NEEDED = {
    "busybox": "busybox-static",
    "cpio": "cpio",
    "dropbear": "dropbear-bin",
    "grub-mkimage": "grub-common",
    "ip": "iproute2",
    "grub-mkrescue": "grub-common",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "openssl": "openssl",
    "xorriso": "xorriso",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "/usr/lib/grub/x86_64-efi/linux.mod": "grub-efi-amd64-bin",
    "/usr/bin/python3.11": "python3",
}
KERNEL = "linux-image-cloud-amd64"

# In the order in which they need one another.
EARLY_MODULES = [
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
    "scsi/scsi_common",
    "scsi/scsi_mod",
    "ata/libata",
    "ata/ata_piix",
    "cdrom/cdrom",
    "scsi/sr_mod",
    "isofs/isofs",
    "block/loop",
]
MODULES = [
    "core/failover",
    "net/net_failover",
    "net/virtio_net",
    "hw_random/rng-core",
    "hw_random/virtio-rng",
    "llc/llc",
    "802/stp",
    "bridge/bridge",
    "net/veth",
    "acpi/button",
    "input/evdev",
]
PYTHON = "ssl json tomllib crypt fnmatch ipaddress pathlib subprocess _crypt"

SECTOR = 512
ESP_START, ROOT_START = 2048, 2048 + 8192  # 4 MiB for the EFI system partition
ROOT_MIB = 72
GRUB_COMMON = [
    "normal",
    "linux",
    "echo",
    "serial",
    "terminal",
    "test",
    "ls",
    "configfile",
    "minicmd",
    "search",
    "search_fs_file",
    "reboot",
]


def missing_packages() -> list[str]:
    """Debian packages without which no medium can be made."""
    return sorted({package for name, package in NEEDED.items() if not _is_here(name)})


def _is_here(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name, path=_path()) is not None


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def fetch_kernel() -> Path:
    """Debian's kernel, unpacked; needs the network once."""
    kept = CACHE / "kernel"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "kernel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            work = CACHE / "kernel.part"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            said = _run("apt-cache", "depends", "--important", KERNEL)
            package = next(line.split()[-1] for line in said.splitlines() if "Depends: linux-image-" in line)
            _run("apt-get", "download", package, cwd=work)
            _run("dpkg-deb", "-x", str(next(work.glob("*.deb"))), str(work / "tree"))
            (work / "tree").rename(kept)
            shutil.rmtree(work)
    return kept


def medium() -> Path:
    """The ISO, made once for each state of what it is made of."""
    kernel = fetch_kernel()
    files = sorted(file for file in HERE.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    recipe = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    recipe.update(next((kernel / "boot").glob("vmlinuz-*")).name.encode())
    kept = CACHE / f"standin-{recipe.hexdigest()[:12]}.iso"
    with (CACHE / "standin.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            for old in CACHE.glob("standin-*.iso"):
                old.unlink()
            work = CACHE / "standin.part"
            shutil.rmtree(work, ignore_errors=True)
            _make(kernel, work)
            (work / "standin.iso").rename(kept)
            shutil.rmtree(work)
    return kept


def _make(kernel: Path, work: Path) -> None:
    boot, iso = work / "boot", work / "iso"
    (iso / "boot/grub").mkdir(parents=True)
    boot.mkdir()
    image = next((kernel / "boot").glob("vmlinuz-*"))
    modules = next((kernel / "lib/modules").iterdir())
    initrd = _initrd(modules, work / "early")
    root = _root_tree(modules, work / "root")
    for name, source in (("vmlinuz", image), ("initrd.img", initrd)):
        shutil.copyfile(source, root / "boot" / name)
    shutil.copyfile(HERE / "installed.cfg", root / "boot/grub/grub.cfg")
    _disk(root, work, iso / "pve-disk.img")
    shutil.copyfile(image, iso / "boot/linux26")
    shutil.copyfile(initrd, iso / "boot/initrd.img")
    shutil.copyfile(HERE / "medium.cfg", iso / "boot/grub/grub.cfg")
    (iso / "auto-installer-capable").touch()
    (iso / ".cd-info").write_text("RELEASE='8.4'\nISORELEASE='1'\nPRODUCT='pve'\nPRODUCTLONG='Proxmox VE'\n")
    kept = " ".join((*GRUB_COMMON, "iso9660", "part_msdos", "part_gpt", "all_video", "sleep"))
    _run(
        "grub-mkrescue", "-o", str(work / "standin.iso"), "--fonts=", "--locales=", "--themes=", "--compress=no",
        f"--install-modules={kept}", str(iso), "--", "-volid", "PVE", "--stdio_sync", "off",
    )  # fmt: skip


def _initrd(modules: Path, tree: Path) -> Path:
    for folder in ("bin", "proc", "sys", "dev", "modules"):
        (tree / folder).mkdir(parents=True)
    _busybox(tree)
    _copy_modules(modules, EARLY_MODULES, tree / "modules")
    init = (HERE / "early-init").read_text().replace("@OFFSET@", str(ROOT_START * SECTOR))
    (tree / "init").write_text(init)
    (tree / "init").chmod(0o755)
    (tree / "dev/console").unlink(missing_ok=True)
    _run("mknod", str(tree / "dev/console"), "c", "5", "1")
    made = tree.with_suffix(".img")
    _run("sh", "-euc", f"cd {tree} && find . | cpio -o -H newc --quiet | gzip -1 >{made}")
    return made


def _busybox(tree: Path) -> None:
    shutil.copy(shutil.which("busybox") or "busybox", tree / "bin/busybox")
    for applet in _run("busybox", "--list").split():
        if not (tree / "bin" / applet).exists():
            (tree / "bin" / applet).symlink_to("busybox")


def _copy_modules(modules: Path, names: Iterable[str], target: Path) -> None:
    """With their order; what is part of the kernel itself has no file."""
    order = []
    for name in names:
        if found := next(modules.rglob(f"{name}.ko"), None):
            shutil.copyfile(found, target / found.name)
            order.append(found.name)
    (target / "order").write_text("".join(f"{name}\n" for name in order))


def _root_tree(modules: Path, tree: Path) -> Path:
    shutil.copytree(HERE / "tree", tree, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "usr/bin",
        "cdrom",
        "data",
        "root",
        "boot/grub",
        "etc/ssl",
        "usr/lib/ssl",
        "lib/standin/modules",
    ]:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    _busybox(tree)
    _copy_modules(modules, MODULES, tree / "lib/standin/modules")
    for name in ("dropbear", "dropbearkey", "ip", "openssl"):
        program = Path(shutil.which(name, path=_path()) or name)
        shutil.copy(program, tree / "usr/bin" / name)  # by its path: to busybox's shell its own applets come first
        _copy_libraries(program, tree)
    _copy_python(tree)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "usr/lib/ssl/openssl.cnf").write_text("[req]\ndistinguished_name=name\n[name]\n")
    return tree


def _copy_libraries(program: Path, tree: Path) -> None:
    for line in _run("ldd", str(program)).splitlines():
        path = next((word for word in line.split() if word.startswith("/")), None)
        if path and not (tree / path[1:]).exists():
            (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tree / path[1:])


def _copy_python(tree: Path) -> None:
    """The interpreter with what the stand-in imports, compiled beforehand."""
    python = "/usr/bin/python3.11"
    code = f"import sys, {PYTHON.replace(' ', ', ')}, encodings.idna, encodings.latin_1, encodings.ascii\n"
    code += "print('\\n'.join(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)))"
    for name in (python, *_run(python, "-I", "-S", "-c", code).split()):
        target = tree / name[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, target)
        if name.endswith(".so") or name == python:
            _copy_libraries(Path(name), tree)
    folders = [str(tree / "usr/lib/python3.11"), str(tree / "lib/standin")]
    _run(python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *folders)


def _disk(root: Path, work: Path, disk: Path) -> None:
    """An installed system but for what the answer says: boot code, EFI system partition, root file system."""
    esp, ext4 = work / "esp.img", work / "root.img"
    _grub("x86_64-efi", work / "bootx64.efi", "part_msdos", "ext2", "all_video")
    with esp.open("wb") as file:
        file.truncate((ROOT_START - ESP_START) * SECTOR)
    _run("mformat", "-i", str(esp), "-v", "EFI", "::")
    _run("mmd", "-i", str(esp), "::/EFI", "::/EFI/BOOT")
    _run("mcopy", "-i", str(esp), str(work / "bootx64.efi"), "::/EFI/BOOT/BOOTX64.EFI")
    features = "^metadata_csum,^metadata_csum_seed,^orphan_file,^64bit"
    _run("mke2fs", "-q", "-t", "ext4", "-O", features, "-d", str(root), str(ext4), f"{ROOT_MIB}M")
    _grub("i386-pc", work / "core.img", "biosdisk", "part_msdos", "ext2")
    with disk.open("wb") as file:
        file.write(_boot_sector(ROOT_MIB << 11))
        file.write((work / "core.img").read_bytes())
        for start, part in ((ESP_START, esp), (ROOT_START, ext4)):
            file.seek(start * SECTOR)
            file.write(part.read_bytes())


def _grub(platform: str, image: Path, *modules: str) -> None:
    early = image.with_suffix(".cfg")
    early.write_text("search --file --set=root /boot/grub/carried.cfg\nset prefix=($root)/boot/grub\n")
    _run("grub-mkimage", "-O", platform, "-o", str(image), "-p", "/boot/grub", "-c", str(early), *GRUB_COMMON, *modules)


def _boot_sector(root_sectors: int) -> bytes:
    """GRUB's boot code, which expects the rest of itself right behind it, and a table of two partitions."""
    code = Path("/usr/lib/grub/i386-pc/boot.img").read_bytes()[:440]
    parts = ((0xEF, ESP_START, ROOT_START - ESP_START), (0x83, ROOT_START, root_sectors))
    table = b"".join(
        struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", at, n) for kind, at, n in parts
    )
    return code + bytes(6) + table + bytes(32) + b"\x55\xaa"


def _run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "PATH": _path(), "LC_ALL": "C"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    if lacking := missing_packages():
        sys.exit(f"apt-get install -y --no-install-recommends {' '.join(lacking)}")
    print(medium())
