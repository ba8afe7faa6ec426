"""What hosts said, as values: texts as iproute2, ss, lscpu, lsblk and dpkg of Debian 12 print them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.evidence import Fact
from harness.verify.batch import Answer, Answers


def answers(said: Mapping[str, str], rc: Mapping[str, int] | None = None) -> Answers:
    """Answers of a host by name; `_` in a name stands for `-`."""
    by_name = {}
    for key, output in said.items():
        name = key.replace("_", "-")
        status = (rc or {}).get(name, 0)
        by_name[name] = Answer(name, status, output, Fact("guest", name, output, 0.0))
    return Answers("metrics-vm01", by_name, lambda _: None)


ADDRESSES = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"qdisc":"noqueue",
"operstate":"UNKNOWN","group":"default","txqlen":1000,"link_type":"loopback","address":"00:00:00:00:00:00",
"broadcast":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host",
"label":"lo","valid_life_time":4294967295,"preferred_life_time":4294967295}]},
{"ifindex":2,"link_index":9,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,
"qdisc":"noqueue","operstate":"UP","group":"default","txqlen":1000,"link_type":"ether",
"address":"02:de:99:01:01:01","broadcast":"ff:ff:ff:ff:ff:ff","link_netnsid":0,"addr_info":[{"family":"inet",
"local":"198.18.99.30","prefixlen":24,"metric":1024,"broadcast":"198.18.99.255","scope":"global","dynamic":true,
"label":"eth0","valid_life_time":3412,"preferred_life_time":3412},{"family":"inet6","local":"fe80::de:99ff:fe01:101",
"prefixlen":64,"scope":"link","valid_life_time":4294967295,"preferred_life_time":4294967295}]}]"""

STATIC = ADDRESSES.replace('"dynamic":true,\n', "")

ROUTES = """[{"dst":"default","gateway":"198.18.99.1","dev":"eth0","protocol":"dhcp","prefsrc":"198.18.99.30",
"metric":1024,"flags":[]},{"dst":"198.18.99.0/24","dev":"eth0","protocol":"kernel","scope":"link",
"prefsrc":"198.18.99.30","metric":1024,"flags":[]}]"""

NEIGHBOURS = """[{"dst":"198.18.99.1","dev":"eth0","lladdr":"02:99:c6:12:63:01","state":["REACHABLE"]},
{"dst":"198.18.99.31","dev":"eth0","state":["FAILED"]}]"""

LISTENERS = """\
udp   UNCONN 0      0                127.0.0.54:53         0.0.0.0:*
udp   UNCONN 0      0             127.0.0.53%lo:53         0.0.0.0:*
udp   UNCONN 0      0         198.18.99.30%eth0:68         0.0.0.0:*
tcp   LISTEN 0      4096          127.0.0.53%lo:53         0.0.0.0:*
tcp   LISTEN 0      128                 0.0.0.0:22         0.0.0.0:*
tcp   LISTEN 0      128                    [::]:22            [::]:*
tcp   LISTEN 0      4096                      *:9090             *:*
udp   UNCONN 0      0                     [::1]:323           [::]:*"""

LSCPU = """\
Architecture:                       x86_64
CPU(s):                             8
Model name:                         Intel(R) Core(TM) i7-6700T CPU @ 2.80GHz
Thread(s) per core:                 2
Core(s) per socket:                 4
Socket(s):                          1
Flags:                              fpu vme de pse tsc msr vmx smx est
Virtualization:                     VT-x"""

LSBLK = """{
   "blockdevices": [
      {"name": "zram0", "type": "disk", "size": 0, "rota": false},
      {"name": "sr0", "type": "rom", "size": 1073741312, "rota": true},
      {"name": "nvme0n1", "type": "disk", "size": 1000204886016, "rota": false}
   ]
}"""

OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/\""""

NICS = """\
eno1|up|1000|Ethernet controller: Intel Corporation Ethernet Connection (5) I219-LM
wlp2s0|down|-1|Network controller: Intel Corporation Wireless 8265"""
