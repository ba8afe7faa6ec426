"""proxmox-auto-installer: put the system on the disk that the answer names, as the answer says."""

import crypt
import fnmatch
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, "/lib/standin")
import answers

IMAGE = pathlib.Path("/cdrom/pve-disk.img")
GIB = 1 << 30
OWN = ("BOOT_IMAGE=", "root=", "ramdisk_size=", "splash=", "vga=")


def main():
    behaviour = read_behaviour()
    try:
        tables = answers.read(pathlib.Path("/run/answer.toml").read_text())
        disk = find_disk(tables["disk-setup"])
        nic = find_nic(tables["network"])
    except ValueError as error:
        sys.exit(f"Error: Could not parse answer file: {error}")
    size = int(pathlib.Path(f"/sys/class/block/{disk.name}/size").read_text()) * 512
    if size < 8 * GIB:
        sys.exit("Error: Got interactive prompt I cannot answer: disk is small")
    progress(behaviour, 0, "create partitions")
    write_image(disk, behaviour)
    subprocess.run(["blockdev", "--rereadpt", disk], check=True)
    progress(behaviour, 92, "configuring base system")
    configure(tables, pathlib.Path("/run/target"), disk, nic)
    fill(disk, behaviour, size)
    progress(behaviour, 99, "make system bootable")
    progress(behaviour, 100, "installation finished")
    print("Finished: 'ok' ")
    if tables["global"].get("reboot-mode") == "power-off":
        pathlib.Path("/run/power-off").touch()


def read_behaviour():
    file = pathlib.Path("/cdrom/standin.cfg")
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def progress(behaviour, percent, text):
    print(f"progress  {percent:>5.1f} % - {text}")
    if text.startswith(behaviour.get("PANIC_AT", "nothing")):
        pathlib.Path("/proc/sysrq-trigger").write_text("c")
        time.sleep(60)


def find_disk(table):
    disks = sorted(pathlib.Path("/dev").glob("vd?")) if "NO_DISK" not in read_behaviour() else []
    if "disk-list" in table:
        found = [disk for disk in disks if str(disk).endswith(table["disk-list"][0])]
        why = "disk in 'disk_selection' not found"
    else:
        found = [disk for disk in disks if any(matches(disk, key, glob) for key, glob in table["filter"].items())]
        why = "filter did not match any device"
    if not found:
        raise ValueError(why)
    return found[0]


def matches(disk, key, glob):
    serial = pathlib.Path(f"/sys/class/block/{disk.name}/serial")
    properties = {"DEVNAME": str(disk), "ID_SERIAL": serial.read_text().strip() if serial.exists() else ""}
    return fnmatch.fnmatchcase(properties.get(key, ""), glob)


def find_nic(table):
    for nic in sorted(pathlib.Path("/sys/class/net").glob("ens*")):
        mac = (nic / "address").read_text().strip()
        properties = {"ID_NET_NAME_MAC": "enx" + mac.replace(":", ""), "INTERFACE": nic.name}
        globs = table.get("filter", {"INTERFACE": "*"})
        if any(fnmatch.fnmatchcase(properties.get(key, ""), glob) for key, glob in globs.items()):
            return mac
    raise ValueError("filter did not match any device")


def write_image(disk, behaviour):
    whole = IMAGE.stat().st_size
    with IMAGE.open("rb") as source, open(disk, "wb") as target:
        done = told = 0
        while chunk := source.read(4 << 20):
            target.write(chunk)
            done += len(chunk)
            if (percent := done * 90 // whole) >= told:
                progress(behaviour, percent, "extracting base system")
                told = percent + 15
        target.flush()
        os.fsync(target.fileno())


def configure(tables, root, disk, mac):
    root.mkdir()
    subprocess.run(["mount", "-t", "ext4", f"{disk}2", root], check=True)
    said, network = tables["global"], tables["network"]
    fqdn = said["fqdn"]
    hashed = said.get("root-password-hashed") or crypt.crypt(said["root-password"], crypt.METHOD_SHA256)
    (root / "etc/hostname").write_text(fqdn.partition(".")[0] + "\n")
    (root / "etc/fqdn").write_text(fqdn)
    (root / "etc/shadow").write_text(f"root:{hashed}:20000:0:99999:7:::\n")
    (root / "etc/resolv.conf").write_text(f"search {fqdn.partition('.')[2]}\nnameserver {network['dns']}\n")
    (root / "etc/standin.conf").write_text(f"NIC_MAC={mac}\nCIDR={network['cidr']}\nGATEWAY={network['gateway']}\n")
    home = root / "root/.ssh"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "authorized_keys").write_text("\n".join(said.get("root-ssh-keys", [])))
    (home / "authorized_keys").chmod(0o600)
    (root / "etc/dropbear").mkdir()
    key = ["dropbearkey", "-t", "ed25519", "-f", root / "etc/dropbear/ed25519"]
    subprocess.run(key, check=True, capture_output=True)
    carried = [
        word
        for word in pathlib.Path("/proc/cmdline").read_text().split()
        if not word.startswith(OWN) and word not in ("ro", "rw", "quiet") and not word.startswith("prox")
    ]
    (root / "boot/grub/carried.cfg").write_text(f"set carried='{' '.join(carried)}'\n")
    subprocess.run(["umount", root], check=True)


def fill(disk, behaviour, size):
    """Write so much more: to run out of room where the virtual disk really is."""
    with open(disk, "r+b") as target:
        target.seek(size // 2)
        for _ in range(int(behaviour.get("FILL_MIB", "0"))):
            target.write(os.urandom(1 << 20))
            target.flush()
            os.fsync(target.fileno())


main()
