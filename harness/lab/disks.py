"""Write the disks of router, hypervisor and guest image: the Debian tree below, and over it what makes each of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path

from harness.lab.credentials import PURPOSES, Credentials, KeyPair, MachineKeys
from harness.lab.machines import mac_of
from harness.lab.packages import INSTALLED
from harness.lab.paths import FILES, GUESTS, IMAGE, LAB, ROUTER_API, SECRETS, SIMULATOR, Place
from harness.lab.router.first import STATE as API_STATE
from harness.lab.router.first import Product, first_files
from harness.lab.seed import seed_of, simulator_options
from harness.lab.spec import ROUTER_NIC, LabMachine, LabSpec
from harness.lab.trees import enable, link, mask, write_file, write_tree

# Paths inside the hypervisor.
PROGRAMS = "/usr/lib/mgmt-lab"
IMAGE_INSIDE = "/var/lib/mgmt-lab/image"
ROOTFS_INSIDE = "/var/lib/mgmt-lab/rootfs"
GUESTS_INSIDE = "/var/lib/pve-guests"
PACKAGES_INSIDE = "/srv/packages"

# Whose API stands in front of Kea and unbound.
PRODUCTS: Mapping[str, Product] = {"kea": "opnsense", "vyos": "vyos"}

# In the router, what it serves over HTTP.
ARTIFACTS_INSIDE = "/srv/artifacts"

USER_ID = 1000
AGE_S = 3600.0  # of what all clones share

# What looks at each boot for disks, consoles and scripts that no machine of the lab has, and what prepares for them.
GENERATORS = (
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-fstab-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
)
IDLE_UNITS = (
    "systemd-journal-flush.service",
    "systemd-remount-fs.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)


def write_router(
    spec: LabSpec, credentials: MachineKeys, rootfs: Path, packages: Path | None, place: Place = LAB
) -> Path:
    """The router's machine folder, ready to be started; it serves the packages, where there are some."""
    folder = _machine(spec.router, layers=[rootfs], inside=ROUTER_NIC, place=place)
    upper = folder / "upper"
    _spare(upper)
    for tree in ("router", "router-dnsmasq" if spec.router_kind == "dnsmasq" else "router-api"):
        write_tree(FILES / tree, upper, _values(spec, spec.router))
    _identify(upper, spec.router, credentials)
    _authorize(upper / "root", credentials.authorized_key)
    if spec.router_kind == "dnsmasq":
        replace_dnsmasq(upper, old={}, new=spec.dnsmasq)
        enable(upper, "dnsmasq.service")
    else:
        _write_router_api(spec, credentials, upper)
    enable(upper, "systemd-networkd.service", where="/lib/systemd/system")
    mask(upper, "networking.service", "systemd-resolved.service")
    if packages is not None:
        enable(upper, "artifacts.service")
        (folder / "mounts").write_text(f"{packages} {ARTIFACTS_INSIDE}/packages ro\n")
    return folder


def _write_router_api(spec: LabSpec, credentials: MachineKeys, upper: Path) -> None:
    """The product's stand-in, with its configuration, and that of the daemons it stands in front of."""
    api = credentials.router_api
    if spec.router_seed is None or api is None:
        raise ValueError(f"a router of kind {spec.router_kind} starts with a seed")
    shutil.copytree(ROUTER_API, upper / "usr/lib/router-api/router", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in first_files(PRODUCTS[spec.router_kind], spec.router_seed).items():
        write_file(upper / path[1:], text)
    state = upper / API_STATE[1:]
    write_file(state / "keys.json", json.dumps([{"key": api.key, "secret": api.secret}]), 0o600)
    write_file(state / "api.key", api.tls_key, 0o600)
    write_file(state / "api.pem", api.tls_certificate)
    for unit in ("kea.service", "unbound.service", "router-api.service"):
        enable(upper, unit)


def replace_dnsmasq(tree: Path, *, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """The router's DHCP and DNS configuration: the new files, and none of the old ones that are not among them."""
    for name in old.keys() - new.keys():
        (tree / _dnsmasq_path(name)).unlink(missing_ok=True)
    for name, text in new.items():
        write_file(tree / _dnsmasq_path(name), text)


def _dnsmasq_path(name: str) -> str:
    return name.lstrip("/") if name.startswith("/") else f"etc/dnsmasq.d/{name}"


def write_hypervisor(spec: LabSpec, credentials: Credentials, layers: list[Path], packages: Path) -> Path:
    """The hypervisor's machine folder; `layers` ends with the Debian tree."""
    folder = _machine(spec.hypervisor, layers=layers, inside=spec.bridge_port)
    upper = folder / "upper"
    _spare(upper)
    write_tree(FILES / "hypervisor", upper, _values(spec, spec.hypervisor))
    write_tree(FILES / "hypervisor-installed", upper, _values(spec, spec.hypervisor))
    if spec.hypervisor_state == "bootstrapped":
        _write_bootstrapped(spec, upper, layers[-1], packages)
    write_tree(FILES / "bin", upper / PROGRAMS[1:] / "bin", {})
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SIMULATOR, upper / PROGRAMS[1:] / "simulator", ignore=ignored)
    _identify(upper, spec.hypervisor, credentials)
    _write_pve(spec, credentials, upper)
    _write_root_login(spec, credentials, upper, layers[-1])
    enable(upper, "pve-guests.service")
    mask(upper, "systemd-networkd.service", "systemd-resolved.service")
    GUESTS.mkdir()
    binds = [(layers[-1], ROOTFS_INSIDE, "ro"), (packages, PACKAGES_INSIDE, "ro")]
    binds += [(IMAGE, IMAGE_INSIDE, "ro"), (GUESTS, GUESTS_INSIDE, "rw")]
    (folder / "mounts").write_text("".join(f"{source} {target} {mode}\n" for source, target, mode in binds))
    return folder


def write_guest_image(spec: LabSpec, credentials: Credentials, rootfs: Path) -> None:
    """What a clone of the template boots: made as an image factory without cloud-init leaves it.

    Machine-id and host keys are the same in every clone; making them the clone's own is the provisioner's work.
    """
    tree = IMAGE / "content"
    _spare(tree)
    write_tree(FILES / "guest", tree, {"USER": spec.template.user})
    (tree / "etc/sudoers.d" / spec.template.user).chmod(0o440)
    write_file(tree / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    _write_host_key(tree, credentials.template_host_key)
    # Older than any clone, however soon the first one boots.
    for path in (tree / "etc/machine-id", *(tree / "etc/ssh").glob("ssh_host_*")):
        os.utime(path, (path.stat().st_mtime - AGE_S,) * 2)
    _add_user(tree, rootfs, spec.template.user, credentials.authorized_key)
    link(tree / "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    enable(tree, "qemu-guest-agent.service")
    # Each workload is on the guests it is for alone: see files/guest/etc/mgmt-lab/workloads.
    for unit in ("workload.service", "rsyslog.service"):
        enable(tree, unit)
    for unit in ("lighttpd.service", "prometheus-node-exporter.service"):
        enable(tree, unit, where="/lib/systemd/system")
    enable(tree, "alert-relay.socket", target="sockets.target")
    enable(tree, "systemd-networkd.service", where="/lib/systemd/system")
    mask(tree, "chrony.service", "networking.service")
    (IMAGE / "layers").write_text(f"{IMAGE_INSIDE}/content:{ROOTFS_INSIDE}")


def _machine(machine: LabMachine, *, layers: list[Path], inside: str, place: Place = LAB) -> Path:
    folder = place.machines / machine.name
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "layers").write_text(":".join(str(layer) for layer in layers))
    (folder / "hostname").write_text(machine.name)
    (folder / "nics").write_text(f"port-{machine.name} {inside} {mac_of(machine.address)} lan\n")
    (folder / "mounts").write_text("")
    return folder


def _spare(tree: Path) -> None:
    """Boot and log in with a part of the CPU time; a lab boots a dozen machines at once."""
    write_tree(FILES / "machine", tree, {})
    for generator in GENERATORS:
        link(tree / "etc/systemd/system-generators" / generator, "/dev/null")
    mask(tree, *IDLE_UNITS)


def _values(spec: LabSpec, machine: LabMachine) -> dict[str, str]:
    return {
        "ADDRESS": str(machine.address),
        "BRIDGE": spec.bridge,
        "DOMAIN": spec.domain,
        "GATEWAY": str(spec.router.address),
        "NAME": machine.name,
        "PORT": spec.bridge_port,
        "NETWORK": str(spec.network),
        "PREFIX": str(IPv4Network(spec.network).prefixlen),
        "PRODUCT": PRODUCTS.get(spec.router_kind, ""),
        "PVE_VERSION": INSTALLED[spec.hypervisor_state],
        "SIMULATOR_OPTIONS": simulator_options(spec),
    }


def _identify(upper: Path, machine: LabMachine, credentials: MachineKeys) -> None:
    write_file(upper / "etc/hostname", f"{machine.name}\n")
    write_file(upper / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    _write_host_key(upper, credentials.host_keys[machine.name])
    (upper / "root").mkdir(mode=0o700)


def _write_host_key(tree: Path, key: KeyPair) -> None:
    write_file(tree / "etc/ssh/ssh_host_ed25519_key", key.private, 0o600)
    write_file(tree / "etc/ssh/ssh_host_ed25519_key.pub", key.public)


def _authorize(home: Path, key: str) -> None:
    (home / ".ssh").mkdir(mode=0o700)
    write_file(home / ".ssh/authorized_keys", key, 0o600)


def _write_pve(spec: LabSpec, credentials: Credentials, upper: Path) -> None:
    node = upper / "etc/pve/nodes" / spec.hypervisor.name
    write_file(node / "pve-ssl.key", credentials.tls_key, 0o640)
    write_file(node / "pve-ssl.pem", credentials.tls_certificate, 0o640)
    write_file(upper / "etc/pve/pve-root-ca.pem", credentials.ca_certificate, 0o640)
    link(upper / "etc/pve/local", f"nodes/{spec.hypervisor.name}")
    (upper / "var/lib/vz").mkdir(parents=True)  # the storage `local`; without its folder it has no space
    secrets = upper / "etc/mgmt-lab"
    secrets.mkdir(mode=0o700)
    write_file(secrets / "seed.json", json.dumps(seed_of(spec), indent=1))
    tokens = [] if spec.hypervisor_state == "installed" else [f"{purpose}.token" for purpose in PURPOSES]
    for name in ("root.password", *tokens):
        write_file(secrets / name, (SECRETS / name).read_text(), 0o600)


def _write_root_login(spec: LabSpec, credentials: Credentials, upper: Path, rootfs: Path) -> None:
    """Root's password, and the keys PVE keeps in its own file system with a link to them.

    How the installer allows the password: by the line in sshd's main file. Bootstrap's drop-in wins over that.
    """
    home, own = upper / "root/.ssh", credentials.root_key
    is_authorized = spec.root_key or spec.hypervisor_state == "bootstrapped"
    home.mkdir(mode=0o700)
    write_file(home / "id_rsa", own.private, 0o600)
    write_file(home / "id_rsa.pub", own.public)
    keys = upper / "etc/pve/priv"
    keys.mkdir(mode=0o700)
    write_file(keys / "authorized_keys", own.public + (credentials.authorized_key if is_authorized else ""), 0o600)
    link(home / "authorized_keys", "/etc/pve/priv/authorized_keys")
    password = f"root:{credentials.root_password_hash}:"
    _replace_line(upper, rootfs, "etc/shadow", r"root:[^:]*:", password)
    _replace_line(upper, rootfs, "etc/ssh/sshd_config", r"#?PermitRootLogin .*", "PermitRootLogin yes")


def _write_bootstrapped(spec: LabSpec, upper: Path, rootfs: Path, packages: Path) -> None:
    """The files bootstrap leaves, byte for byte (tests/bootstrap/test_short_cut.py)."""
    write_tree(FILES / "hypervisor-bootstrapped", upper, _values(spec, spec.hypervisor))
    for file in (upper / "etc/apt/sources.list", *(upper / "etc/apt/sources.list.d").glob("*.list")):
        if file.name != "mgmt-harness.list":
            write_file(file, re.sub("^deb", "# deb", file.read_text(), flags=re.MULTILINE))
    _replace_line(upper, rootfs, "etc/chrony/chrony.conf", r"(?=pool )", "# ")
    for index in ("Packages", "Release"):
        content = (packages / index).read_text()
        write_file(upper / f"var/lib/apt/lists/{spec.router.address}_packages_._{index}", content)
    for folder in ("", "tokens"):
        (upper / "var/lib/mgmt-harness" / folder).mkdir(mode=0o700)


def _replace_line(tree: Path, rootfs: Path, name: str, pattern: str, line: str) -> None:
    """Write Debian's own file with one thing changed; there is exactly one such place."""
    original = rootfs / name
    text, count = re.subn(f"^{pattern}", lambda _: line, original.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{original}: {count} places match {pattern}")
    write_file(tree / name, text, original.stat().st_mode & 0o777)
    os.chown(tree / name, 0, original.stat().st_gid)


def _add_user(tree: Path, rootfs: Path, user: str, key: str) -> None:
    """The automation user as useradd makes it; nobody has a password, root included."""
    entries = {
        "passwd": f"{user}:x:{USER_ID}:{USER_ID}::/home/{user}:/bin/bash\n",
        "group": f"{user}:x:{USER_ID}:\n",
        "shadow": f"{user}:*:20000:0:99999:7:::\n",
    }
    for name, entry in entries.items():
        original = rootfs / "etc" / name
        write_file(tree / "etc" / name, original.read_text() + entry, original.stat().st_mode & 0o777)
        os.chown(tree / "etc" / name, 0, original.stat().st_gid)
    home = tree / "home" / user
    home.mkdir(parents=True)
    _authorize(home, key)
    for path in (home, *home.rglob("*")):
        os.chown(path, USER_ID, USER_ID)
