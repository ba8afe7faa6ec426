"""What a router of the lab serves at its first start: plain values, written by whoever makes the router's disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SeedSubnet:
    """A subnet the router serves; `pool` is its first and last dynamic address."""

    subnet: str
    gateway: str
    pool: tuple[str, str] | None


@dataclass(frozen=True)
class SeedReservation:
    mac: str
    address: str
    name: str


@dataclass(frozen=True)
class SeedRecord:
    """`type` is A or CNAME; names are fully qualified."""

    type: str
    name: str
    target: str


@dataclass(frozen=True)
class Seed:
    """A router, whatever its product."""

    nic: str
    address: str
    domain: str
    subnets: tuple[SeedSubnet, ...]
    reservations: tuple[SeedReservation, ...]
    records: tuple[SeedRecord, ...]

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Seed:
        """The same from JSON's own types."""
        return cls(
            nic=said["nic"],
            address=said["address"],
            domain=said["domain"],
            subnets=tuple(
                SeedSubnet(one["subnet"], one["gateway"], (one["pool"][0], one["pool"][1]) if one["pool"] else None)
                for one in said["subnets"]
            ),
            reservations=tuple(SeedReservation(**one) for one in said["reservations"]),
            records=tuple(SeedRecord(**one) for one in said["records"]),
        )
