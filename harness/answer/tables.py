"""The tables of answer.toml with the installer's rules: what passes here, the 8.4 installer takes."""

# From pve-installer at 8.4.6: answer.rs and utils.rs of proxmox-auto-installer, options.rs and utils.rs beside it.

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from harness.answer.places import countries, timezones

Keyboard = Literal[
    "de", "de-ch", "dk", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is", "it",
    "jp", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr",
]  # fmt: skip
KEYBOARDS: tuple[str, ...] = get_args(Keyboard)

SHORTEST_PASSWORD_BYTES = 8
LONGEST_NAME = 253
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# What HTML's <input type=email> takes, which is what the installer asks.
MAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{LABEL.pattern}(\.{LABEL.pattern})*")
REFUSED_MAIL = "mail@example.invalid"  # the installer's own example


class Table(BaseModel):
    """The installer refuses every key it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _wrong(expected: str) -> PydanticCustomError:
    return PydanticCustomError("answer", "{expected}", {"expected": expected})


def _country(code: str) -> str:
    if code not in countries():
        raise _wrong("a country code of two lowercase letters, such as us")
    return code


def _timezone(name: str) -> str:
    if name not in timezones():
        raise _wrong("a time zone such as Europe/Berlin, or UTC")
    return name


def _mailto(address: str) -> str:
    if not MAIL.fullmatch(address) or address == REFUSED_MAIL:
        raise _wrong("a mail address that is not the installer's example")
    return address


def fqdn_mistake(name: str) -> str | None:
    """What the installer expects instead of this name; None when it takes it."""
    labels = name.split(".")
    if len(labels) < 2 or len(name) > LONGEST_NAME or not all(LABEL.fullmatch(label) for label in labels):
        return "a host name and its domain, of letters, digits and dashes"
    return "a host name that is not all digits" if labels[0].isdecimal() else None


def _fqdn(name: str) -> str:
    if expected := fqdn_mistake(name):
        raise _wrong(expected)
    return name


def _password(text: str) -> str:
    if len(text.encode()) < SHORTEST_PASSWORD_BYTES:
        raise _wrong(f"at least {SHORTEST_PASSWORD_BYTES} bytes")
    return text


def _cidr(text: str) -> str:
    try:
        ip_interface(text)
    except ValueError as cause:
        raise _wrong("an address with its prefix length, such as 10.0.0.21/24") from cause
    if not re.fullmatch(r".+/\d+", text):
        raise _wrong("an address with its prefix length, such as 10.0.0.21/24")
    return text


def _address(value: Any) -> Any:
    if isinstance(value, IPv4Address | IPv6Address):
        return str(value)
    try:
        return str(ip_address(value)) if isinstance(value, str) else value
    except ValueError as cause:
        raise _wrong("an IP address") from cause


def _lowercase(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Country = Annotated[str, AfterValidator(_country)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Mailto = Annotated[str, AfterValidator(_mailto)]
Fqdn = Annotated[str, AfterValidator(_fqdn)]
Password = Annotated[str, AfterValidator(_password)]
Cidr = Annotated[str, AfterValidator(_cidr)]
Address = Annotated[str, BeforeValidator(_address)]
Gib = Annotated[float, Field(ge=0)]  # an integer will do
Filter = Annotated[dict[str, str], Field(min_length=1)]  # udev property -> glob
Sha256 = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")]


class FqdnFromDhcp(Table):
    source: Literal["from-dhcp"] = "from-dhcp"
    domain: str | None = None


def _kind_of_fqdn(value: Any) -> str:
    return "table" if isinstance(value, dict | FqdnFromDhcp) else "text"


class Global(Table):
    keyboard: Keyboard
    country: Country
    fqdn: Annotated[Annotated[Fqdn, Tag("text")] | Annotated[FqdnFromDhcp, Tag("table")], Discriminator(_kind_of_fqdn)]
    mailto: Mailto
    timezone: Timezone
    root_password: Password | None = None
    root_password_hashed: str | None = None
    root_ssh_keys: list[str] = []
    reboot_on_error: bool = False
    reboot_mode: Literal["reboot", "power-off"] = "reboot"

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.root_password is None) == (self.root_password_hashed is None):
            raise _wrong("exactly one of root-password, root-password-hashed")
        return self


class Network(Table):
    source: Literal["from-dhcp", "from-answer"] = "from-dhcp"
    cidr: Cidr | None = None
    dns: Address | None = None
    gateway: Address | None = None
    filter: Filter | None = None

    @model_validator(mode="after")
    def _all_or_nothing(self) -> Self:
        said = {name for name in ("cidr", "dns", "gateway", "filter") if getattr(self, name) is not None}
        if self.source == "from-dhcp" and said:
            raise _wrong(f"no {', '.join(sorted(said))} with source from-dhcp")
        if self.source == "from-answer" and len(said) < 4:
            missing = {"cidr", "dns", "gateway", "filter"} - said
            raise _wrong(f"{', '.join(sorted(missing))} with source from-answer")
        return self


class Lvm(Table):
    """GiB; no swap with swapsize 0, no pool for VMs with maxvz 0."""

    hdsize: Gib | None = None
    swapsize: Gib | None = None
    maxroot: Gib | None = None
    maxvz: Gib | None = None
    minfree: Gib | None = None


Count = Annotated[int, Field(ge=0)]


class Zfs(Table):
    raid: Annotated[Literal["raid0", "raid1", "raid10", "raidz-1", "raidz-2", "raidz-3"], BeforeValidator(_lowercase)]
    ashift: Count | None = None
    arc_max: Count | None = Field(None, description="MiB")
    checksum: Literal["on", "fletcher4", "sha256"] | None = None
    compress: Literal["on", "off", "lzjb", "lz4", "zle", "gzip", "zstd"] | None = None
    copies: Count | None = None
    hdsize: Gib | None = None


class Btrfs(Table):
    raid: Annotated[Literal["raid0", "raid1", "raid10"], BeforeValidator(_lowercase)]
    hdsize: Gib | None = None
    compress: Literal["on", "off", "zlib", "lzo", "zstd"] | None = None


class DiskSetup(Table):
    filesystem: Literal["ext4", "xfs", "zfs", "btrfs"]
    disk_list: Annotated[list[str], Field(min_length=1)] | None = None
    filter: Filter | None = None
    filter_match: Literal["any", "all"] | None = None
    lvm: Lvm | None = None
    zfs: Zfs | None = None
    btrfs: Btrfs | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for expected in disk_mistakes(self):
            raise _wrong(expected)
        return self


def disk_mistakes(said: Any) -> Iterator[str]:
    """What is wrong between the keys of a disk setup, as what is expected instead."""
    if (said.disk_list is None) == (said.filter is None):
        yield "exactly one of disk-list, filter"
    wanted = {"ext4": "lvm", "xfs": "lvm"}.get(said.filesystem, said.filesystem)
    if others := [name for name in ("lvm", "zfs", "btrfs") if name != wanted and getattr(said, name) is not None]:
        yield f"no table {others[0]} with filesystem {said.filesystem}"
    if wanted != "lvm" and getattr(said, wanted) is None:
        yield f"the table {wanted} with filesystem {wanted}"
    if wanted == "lvm" and len(said.disk_list or ()) > 1:
        yield f"one disk with filesystem {said.filesystem}"


class Webhook(Table):
    url: Annotated[str, Field(min_length=1)]
    cert_fingerprint: Sha256 | None = None


class FirstBoot(Table):
    source: Literal["from-iso", "from-url"]
    url: str | None = None
    cert_fingerprint: Sha256 | None = None
    ordering: Literal["before-network", "network-online", "fully-up"] = "fully-up"

    @model_validator(mode="after")
    def _url_of_its_source(self) -> Self:
        if self.source == "from-url" and not self.url:
            raise _wrong("url with source from-url")
        return self


class Answer(Table):
    global_: Annotated[Global, Field(alias="global")]
    network: Network
    disk_setup: DiskSetup
    post_installation_webhook: Webhook | None = None
    first_boot: FirstBoot | None = None
