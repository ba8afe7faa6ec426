"""The named text formats of PVE's parameters, each with the words of its refusal."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

Check = Callable[[str], None]


class FormatError(Exception):
    """The text does not have the form; the message is what stands behind `invalid format - `."""


def matching(pattern: str, refusal: str) -> Check:
    """A check by regular expression; `{}` in the refusal is the refused text."""
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise FormatError(refusal.replace("{}", text))

    return check


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
MAC = re.compile(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}")
STORAGE_ID = r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]"
_TAG = re.compile(r"[a-z0-9_][a-z0-9_\-+.]*", re.IGNORECASE)

vmid = matching(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID")
node = matching(_LABEL, "value does not look like a valid node name")
dns_name = matching(rf"{_LABEL}(\.{_LABEL})*", "value does not look like a valid DNS name")
config_id = matching(r"[A-Za-z][\w-]+", "invalid configuration ID '{}'")
storage_id = matching(STORAGE_ID, "storage ID '{}' contains illegal characters")
pool_id = matching(r"[A-Za-z0-9.\-_]+(/[A-Za-z0-9.\-_]+){0,2}", "pool name '{}' contains invalid characters")
role_id = matching(r"[A-Za-z0-9.\-_]+", "role name '{}' contains invalid characters")
group_id = matching(r"[A-Za-z0-9.\-_]+", "group name '{}' contains invalid characters")
user_id = matching(r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+", "value '{}' does not look like a valid user name")
token_id = matching(
    r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+", "value '{}' does not look like a valid token ID"
)
token_sub_id = matching(r"[A-Za-z][A-Za-z0-9.\-_]+", "value does not match the regex pattern")
mac_address = matching(MAC.pattern, "value does not look like a valid unicast MAC address")
bridge = matching(r"[a-zA-Z][a-zA-Z0-9_.:-]*", "value does not look like a valid bridge name")
interface = matching(r"[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?", "invalid network interface name '{}'")
disk_size = matching(r"\d+(\.\d+)?[KMGT]?", "value does not look like a valid disk size: {}")
url_encoded = matching(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: {}")
hotplug_features = matching(
    r"[01]|(network|disk|cpu|memory|usb|cloudinit)([,;\s]+(network|disk|cpu|memory|usb|cloudinit))*",
    "unable to parse hotplug option",
)
startup_order = matching(r"(\d+|(order|up|down)=\d+)(,(order|up|down)=\d+)*", "unable to parse startup options")
mac_prefix = matching(
    r"[a-fA-F0-9][02468aceACE](:[a-fA-F0-9]{2}){0,2}:?", "value is not a valid unicast MAC address prefix"
)
smbios_uuid = r"[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}"


_CALENDAR = re.compile(r"[a-z0-9 ,.:/*~-]+")
_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*(\.\.(mon|tue|wed|thu|fri|sat|sun)[a-z]*)?")
_CALENDAR_WORDS = ("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly")


def calendar_event(text: str) -> None:
    """Roughly: the words there are, weekdays, and dates and times of figures."""
    if text in _CALENDAR_WORDS or not text:
        return
    for word in re.split(r"[ ,]", text):
        if word[:1].isalpha() and not _WEEKDAY.fullmatch(word):
            raise FormatError(f"invalid calendar event '{text}' - unable to parse weekday '{word}'\n")
    if not _CALENDAR.fullmatch(text):
        raise FormatError(f"invalid calendar event '{text}'\n")


def tag(text: str) -> None:
    if not _TAG.fullmatch(text):
        raise FormatError("invalid characters in tag")


def _network(text: str, words: set[str], kind: Callable[[str], object], refusal: str) -> None:
    """One of the words, or an address with its prefix length."""
    if text in words:
        return
    try:
        kind(text)
    except ValueError as error:
        raise FormatError(refusal) from error
    if "/" not in text:
        raise FormatError(refusal)


def ipv4_config(text: str) -> None:
    refusal = "value does not look like a valid ipv4 network configuration"
    _network(text, {"dhcp"}, ipaddress.IPv4Interface, refusal)


def ipv6_config(text: str) -> None:
    refusal = "value does not look like a valid ipv6 network configuration"
    _network(text, {"dhcp", "auto"}, ipaddress.IPv6Interface, refusal)


def address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise FormatError("value does not look like a valid IP address") from error


_CPU_MODELS = re.compile(
    r"host|max|486|athlon|core2?duo|phenom|Conroe|Penryn|KnightsMill|(kvm|qemu)(32|64)|pentium[23]?|Opteron_G[1-5]"
    r"|x86-64-v(2(-AES)?|3|4)|(Nehalem|Westmere|SandyBridge|IvyBridge)(-IBRS)?|(Haswell|Broadwell)(-noTSX)?(-IBRS)?"
    r"|Skylake-(Client|Server)(-noTSX-IBRS|-IBRS|-v[1-5])?|(Icelake|Cascadelake)-(Client|Server)(-noTSX|-v[1-6])?"
    r"|Cooperlake(-v2)?|SapphireRapids(-v2)?|GraniteRapids|EPYC(-IBPB|-v[34])?|EPYC-(Rome|Milan|Genoa)(-v[1-4])?"
)


def cpu(text: str) -> None:
    model = text.split(",", 1)[0].removeprefix("cputype=")
    if "=" in model or model.startswith("custom-") or _CPU_MODELS.fullmatch(model):
        return
    raise FormatError(f"Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)")
