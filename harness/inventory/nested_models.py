"""`mgmt_nested`: the virtual machine and the installation that a nested site's hypervisor is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from harness.answer import Country, Keyboard, Mailto, Timezone
from harness.inventory.fields import Model, Reason

# With less the installer asks whether we are sure, and nobody is there to answer.
LEAST_DISK_GIB = 8
LEAST_MEMORY_MIB = 1024


class Iso(Model):
    """The official installation medium."""

    file: Reason | None = Field(None, description="the ISO; relative to the site folder")
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = Field(None, description="http(s)://… of the ISO")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] = Field(
        description="SHA-256 of the ISO in quotes; nothing is installed without it"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise PydanticCustomError("not_one", "exactly one of file, url")
        if "@" in (self.url or "").partition("?")[0]:  # judged here, where what is found is not shown
            raise PydanticCustomError("credential", "a url without a user and a password")
        return self


class Machine(Model):
    """The virtual machine around it."""

    firmware: Literal["bios", "uefi"] = "bios"
    memory_mib: Annotated[int, Field(ge=LEAST_MEMORY_MIB)] = Field(8192, description="what PVE and its VMs share")
    cores: Annotated[int, Field(ge=1, le=128)] = 4
    disk_gib: Annotated[int, Field(ge=LEAST_DISK_GIB)] = 64


class Lvm(Model):
    """GiB, as the installer counts; no swap with swapsize 0."""

    hdsize: Annotated[float, Field(ge=LEAST_DISK_GIB)] | None = None
    swapsize: Annotated[float, Field(ge=0)] | None = None
    maxroot: Annotated[float, Field(ge=2)] | None = None
    maxvz: Annotated[float, Field(ge=0)] | None = None
    minfree: Annotated[float, Field(ge=0)] | None = None


class Installation(Model):
    """What answer.toml says and the inventory does not say elsewhere; there is one disk."""

    keyboard: Keyboard = "en-us"
    country: Country = Field(description="two lowercase letters, such as us")
    timezone: Timezone = "UTC"
    mailto: Mailto = Field(description="where PVE sends root's mail")
    filesystem: Literal["ext4", "xfs", "zfs", "btrfs"] = "ext4"
    lvm: Lvm | None = Field(None, description="sizes, with ext4 or xfs")

    @model_validator(mode="after")
    def _lvm_of_its_filesystem(self) -> Self:
        if self.lvm is not None and self.filesystem not in {"ext4", "xfs"}:
            raise PydanticCustomError("no_lvm", "no lvm with a filesystem that brings its own volumes")
        return self

    def disk_setup(self, disk: str) -> Mapping[str, Any]:
        """The table of that name; a file system that could span several disks is told that there is one."""
        setup: dict[str, Any] = {"filesystem": self.filesystem, "disk_list": [disk]}
        if self.filesystem in {"zfs", "btrfs"}:
            setup[self.filesystem] = {"raid": "raid0"}
        elif self.lvm is not None:
            setup["lvm"] = self.lvm.model_dump(exclude_none=True)
        return setup


class BuiltImage(Model):
    """Debian 12 with what a management VM needs."""

    disk_gib: Annotated[int, Field(ge=2, le=64)] = Field(4, description="its virtual disk")


class Nested(Model):
    """`mgmt_nested`."""

    iso: Iso
    machine: Machine = Machine()
    images: dict[str, BuiltImage] = Field(
        {}, description="template -> the image that nested.build makes for it, at its image.file"
    )
    answer: Installation
