"""Answer files that PVE 8.4's installer takes, and such that it refuses, each one step away from one that it takes."""

from __future__ import annotations

from dataclasses import dataclass

BASE = """\
[global]
keyboard = "en-us"
country = "us"
fqdn = "hv01.nested.deevnet.net"
mailto = "root@nested.deevnet.net"
timezone = "UTC"
root-password = "long enough"

[network]
source = "from-answer"
cidr = "198.18.98.21/24"
dns = "198.18.98.1"
gateway = "198.18.98.1"
filter.ID_NET_NAME_MAC = "*02de98000201"

[disk-setup]
filesystem = "ext4"
disk-list = ["vda"]
"""
DHCP = '[network]\nsource = "from-dhcp"\n'
NETWORK = BASE[BASE.index("[network]") : BASE.index("[disk-setup]")]
DISK = BASE[BASE.index("[disk-setup]") :]
SUM = ":".join(["AB"] * 32)


@dataclass(frozen=True)
class Variant:
    """BASE with `old` replaced; `says` is in what is said of it, nothing where the installer takes it."""

    name: str
    old: str
    new: str
    says: str = ""


def key(name: str, old: str, new: str, says: str = "") -> Variant:
    return Variant(name, old, new, says)


def more(name: str, text: str, says: str = "") -> Variant:
    """Something after all that BASE says."""
    return Variant(name, DISK, f"{DISK}{text}\n", says)


def in_global(name: str, line: str, says: str = "") -> Variant:
    return Variant(name, "[global]\n", f"[global]\n{line}\n", says)


def disk(name: str, text: str, says: str = "") -> Variant:
    return Variant(name, DISK, f"[disk-setup]\n{text}\n", says)


def network(name: str, text: str, says: str = "") -> Variant:
    return Variant(name, NETWORK, f"[network]\n{text}\n", says)


PASSWORD = 'root-password = "long enough"'

TAKEN = [
    key("as it is", "UTC", "UTC"),
    key("a zone of a country", "UTC", "Europe/Berlin"),
    key("a zone with two slashes", "UTC", "America/Argentina/Buenos_Aires"),
    key("a keyboard with a dash", "en-us", "fr-ch"),
    key("a hashed password", PASSWORD, 'root-password-hashed = "$6$x$y"'),
    key("eight bytes in four letters", "long enough", "äöüß"),
    key("a password of quotes and backslashes", PASSWORD, r'root-password = "\"\\\"\\\"\\\"\\"'),
    key("underscores for dashes", "root-password", "root_password"),
    key("underscores in a table's name", "[disk-setup]", "[disk_setup]"),
    key("root at localhost", "root@nested.deevnet.net", "root@localhost"),
    key("a name of two labels", "hv01.nested.deevnet.net", "pve.lan"),
    key("a label of digits behind the first", "hv01.nested.deevnet.net", "hv01.2026.lan"),
    key("the name from DHCP", 'fqdn = "hv01.nested.deevnet.net"', 'fqdn.source = "from-dhcp"'),
    key(
        "the name from DHCP with a domain",
        'fqdn = "hv01.nested.deevnet.net"',
        'fqdn = {source = "from-dhcp", domain = "x.lan"}',
    ),
    in_global("SSH keys", 'root-ssh-keys = ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"]'),
    in_global("how it ends", 'reboot-mode = "power-off"\nreboot-on-error = true'),
    network("DHCP", 'source = "from-dhcp"'),
    network("DHCP by default", ""),
    key("an IPv6 address", "198.18.98.21/24", "2001:db8::21/64"),
    key("a filter of two properties", "filter.ID", 'filter.INTERFACE = "ens*"\nfilter.ID'),
    key("xfs", '"ext4"', '"xfs"'),
    more("sizes as integers", "lvm.hdsize = 40\nlvm.swapsize = 0\nlvm.maxvz = 0"),
    more("sizes as fractions", "lvm.maxroot = 12.5\nlvm.minfree = 1.5"),
    disk("a filter of disks", 'filesystem = "ext4"\nfilter.ID_SERIAL = "*"\nfilter-match = "any"'),
    disk("ZFS on two disks", 'filesystem = "zfs"\ndisk-list = ["sda", "sdb"]\nzfs.raid = "raid1"\nzfs.ashift = 12'),
    disk("ZFS in capitals", 'filesystem = "zfs"\ndisk-list = ["sda", "sdb", "sdc"]\nzfs.raid = "RAIDZ-1"'),
    disk("ZFS with all it has", 'filesystem = "zfs"\nfilter.ID_SERIAL = "*"\nfilter-match = "all"\n'
         'zfs = {raid = "raid0", arc-max = 2048, checksum = "sha256", compress = "zstd", copies = 2, hdsize = 20}'),
    disk("btrfs", 'filesystem = "btrfs"\ndisk-list = ["sda"]\nbtrfs = {raid = "raid0", compress = "zstd"}'),
    more("a hook", '[post-installation-webhook]\nurl = "https://x/installed"\ncert-fingerprint = "' + SUM + '"'),
    more("a first boot from the medium", '[first-boot]\nsource = "from-iso"\nordering = "before-network"'),
    more("a first boot from an address", '[first-boot]\nsource = "from-url"\nurl = "https://x/first"'),
]  # fmt: skip

REFUSED = [
    key("no TOML", "[global]", "[global", "TOML"),
    key("a key twice", PASSWORD, f"{PASSWORD}\n{PASSWORD}", "TOML"),
    key("a key in both spellings", PASSWORD, f'{PASSWORD}\nroot_password = "long enough"', "global.root_password"),
    key("no global table", "[global]", "[globals]", "global: expected there"),
    key("no disk table", DISK, "", "disk-setup: expected there"),
    key("an unknown table", "[network]", "[networks]\n[network]", "networks: expected no such key"),
    in_global("an unknown key", 'rootpw = "x"', "global.rootpw: expected no such key"),
    key("no keyboard", 'keyboard = "en-us"\n', "", "global.keyboard: expected there"),
    key("a keyboard that is a country", "en-us", "us", "global.keyboard"),
    key("a country in capitals", '"us"', '"US"', "a country code of two lowercase letters"),
    key("a country that is none", '"us"', '"xx"', "global.country"),
    key("a zone that is an alias", "UTC", "Etc/UTC", "global.timezone"),
    key("a zone by its letters", "UTC", "CET", "global.timezone"),
    key("a bare host name", "hv01.nested.deevnet.net", "hv01", "a host name and its domain"),
    key("a host name of digits", "hv01.nested", "2026.nested", "not all digits"),
    key("a label that begins with a dash", "hv01.nested", "-hv01.nested", "global.fqdn"),
    key("a label of 64 letters", "hv01.nested", f"{'a' * 64}.nested", "global.fqdn"),
    key("a name with an underscore", "hv01.nested", "hv_01.nested", "global.fqdn"),
    key("a name of 254 letters", "hv01.nested", ".".join(["a" * 62] * 4), "global.fqdn"),
    key("a name from elsewhere", 'fqdn = "hv01.nested.deevnet.net"', 'fqdn.source = "from-dns"', "global.fqdn.source"),
    key("no mail address", "root@nested.deevnet.net", "root", "global.mailto"),
    key("the example's mail address", "root@nested.deevnet.net", "mail@example.invalid", "global.mailto"),
    key("seven bytes", "long enough", "1234567", "at least 8 bytes"),
    key("no password", f"{PASSWORD}\n", "", "exactly one of root-password, root-password-hashed"),
    in_global("two passwords", 'root-password-hashed = "$6$x"', "exactly one of root-password"),
    in_global("one SSH key without its list", 'root-ssh-keys = "ssh-ed25519 AAAA"', "global.root-ssh-keys"),
    in_global("another end", 'reboot-mode = "poweroff"', "global.reboot-mode"),
    in_global("a truth value in quotes", 'reboot-on-error = "true"', "global.reboot-on-error"),
    network("DHCP with an address", 'source = "from-dhcp"\ncidr = "10.0.0.2/24"', "no cidr with source from-dhcp"),
    network("the default with a gateway", 'gateway = "10.0.0.1"', "no gateway with source from-dhcp"),
    network("another source", 'source = "static"', "network.source"),
    key("no gateway", 'gateway = "198.18.98.1"\n', "", "gateway with source from-answer"),
    key("no filter", 'filter.ID_NET_NAME_MAC = "*02de98000201"\n', "", "filter with source from-answer"),
    key("an empty filter", 'filter.ID_NET_NAME_MAC = "*02de98000201"', "filter = {}", "network.filter"),
    key("an address without its length", "198.18.98.21/24", "198.18.98.21", "network.cidr"),
    key("a netmask", "198.18.98.21/24", "198.18.98.21/255.255.255.0", "network.cidr"),
    key("an address with 300 in it", "198.18.98.21/24", "198.18.98.300/24", "network.cidr"),
    key("two DNS servers", 'dns = "198.18.98.1"', 'dns = ["198.18.98.1", "198.18.98.2"]', "network.dns"),
    key("a DNS server by name", 'dns = "198.18.98.1"', 'dns = "dns.lan"', "network.dns"),
    key("another file system", '"ext4"', '"ext3"', "disk-setup.filesystem"),
    key("no file system", 'filesystem = "ext4"\n', "", "disk-setup.filesystem: expected there"),
    key("no disk", 'disk-list = ["vda"]\n', "", "exactly one of disk-list, filter"),
    key("an empty list of disks", '["vda"]', "[]", "disk-setup.disk-list"),
    key("ext4 on two disks", '["vda"]', '["vda", "vdb"]', "one disk with filesystem ext4"),
    more("disks by list and by filter", 'filter.ID_SERIAL = "*"', "exactly one of disk-list, filter"),
    more("another match", 'filter-match = "one"', "disk-setup.filter-match"),
    more("ZFS's table with ext4", 'zfs.raid = "raid0"', "no table zfs with filesystem ext4"),
    more("an unknown size", "lvm.rootsize = 10", "lvm.rootsize"),
    more("a size in words", 'lvm.hdsize = "40G"', "lvm.hdsize"),
    disk("ZFS without its table", 'filesystem = "zfs"\ndisk-list = ["sda"]', "the table zfs with filesystem zfs"),
    disk("ZFS without a level", 'filesystem = "zfs"\ndisk-list = ["sda"]\nzfs.ashift = 12', "zfs.raid: expected there"),
    disk("ZFS with a level of btrfs's", 'filesystem = "zfs"\ndisk-list = ["sda"]\nzfs.raid = "raid5"', "zfs.raid"),
    disk("btrfs with raidz", 'filesystem = "btrfs"\ndisk-list = ["sda"]\nbtrfs.raid = "raidz-1"', "btrfs.raid"),
    more("a hook without an address", "[post-installation-webhook]", "post-installation-webhook.url: expected there"),
    more("a short fingerprint", '[post-installation-webhook]\nurl = "https://x"\ncert-fingerprint = "AB"', "finger"),
    more("a first boot from nowhere", '[first-boot]\nsource = "from-url"', "url with source from-url"),
    more("a first boot at another time", '[first-boot]\nsource = "from-iso"\nordering = "late"', "first-boot.ordering"),
]  # fmt: skip
