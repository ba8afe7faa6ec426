"""The kinds of values that the inventory's keys hold, stricter than YAML's own."""

from __future__ import annotations

import re
from datetime import date
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

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

T = TypeVar("T")


class Unsound(Exception):
    """A value was asked for that the inventory does not soundly say."""


class Model(BaseModel):
    """Strict: a number in quotes is no number. A field that was wrong raises Unsound when it is read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise Unsound(name)
            return super().__getattr__(name)


class OwnersModel(Model):
    """A key of the owner's layout: what we do not know there is only worth a warning."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


def _filled(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "a text that is not empty")
    return text


def _only_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError("not_text", "a text in quotes")
    return value


def _only_date(value: Any) -> Any:
    # A bare number would pass as seconds since the epoch.
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return value
    if type(value) is date:
        return value
    raise PydanticCustomError("not_date", "a date such as 2027-01-31")


def unique(values: list[T]) -> list[T]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("doubled", "each entry once")
    return values


Reason = Annotated[str, AfterValidator(_filled)]
Day = Annotated[date, Field(strict=False), BeforeValidator(_only_date)]
Address = Annotated[IPv4Address, Field(strict=False), BeforeValidator(_only_text)]
Network = Annotated[IPv4Network, Field(strict=False), BeforeValidator(_only_text)]
Port = Annotated[int, Field(ge=1, le=65535)]
VmId = Annotated[int, Field(ge=100, le=999_999_999)]
HexByte = Annotated[str, Field(pattern=r"^[0-9a-f]{2}$", description="two lowercase hex digits in quotes")]
ClauseId = Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)*\.[a-z0-9]+(-[a-z0-9]+)*$")]


class Secret(Model):
    """A reference to a secret: exactly one of the four; `store` is where a command's secret is written to."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [kind]} for kind in ("env", "file", "command", "vault")],
            "dependentRequired": {"store": ["command"]},
        }
    )
    env: Reason | None = Field(None, description="the environment variable that holds it")
    file: Reason | None = Field(None, description="the file that holds it, readable by its owner only")
    command: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="argv whose output it is")
    vault: Reason | None = Field(None, description="the Ansible Vault variable that holds it")
    store: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="beside command: argv that takes a new value on its standard input"
    )

    @model_validator(mode="after")
    def _one(self) -> Secret:
        said = self.model_fields_set
        filled = set(self.model_dump(exclude_none=True))
        if said != filled or len(said - {"store"}) != 1 or ("store" in said and "command" not in said):
            raise PydanticCustomError("not_one", "exactly one of env, file, command, vault")
        return self


def _kind_of_text(value: Any) -> str:
    return "reference" if isinstance(value, dict | Secret) else "text"


HostKeyFingerprint = Annotated[
    Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$"), Tag("text")] | Annotated[Secret, Tag("reference")],
    Discriminator(_kind_of_text),
]
Fingerprint = Annotated[
    Annotated[str, Field(pattern=r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$"), Tag("text")]
    | Annotated[Secret, Tag("reference")],
    Discriminator(_kind_of_text),
]
