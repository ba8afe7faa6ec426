"""What passes here the 8.4 installer takes, and what it refuses is named; what we write is what we read."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from harness.answer import KEYBOARDS, check_answer, fqdn_mistake, read_answer, render_answer
from harness.answer.places import countries, timezones
from tests.answer.variants import BASE, REFUSED, TAKEN, Variant


def text_of(variant: Variant) -> str:
    assert BASE.count(variant.old) >= 1
    return BASE.replace(variant.old, variant.new, 1)


@pytest.mark.parametrize("variant", TAKEN, ids=lambda one: one.name)
def test_takes(variant: Variant) -> None:
    assert check_answer(text_of(variant)) == []


@pytest.mark.parametrize("variant", REFUSED, ids=lambda one: one.name)
def test_refuses_by_name(variant: Variant) -> None:
    said = check_answer(text_of(variant))
    assert said
    assert variant.says in "; ".join(said)


def test_says_every_mistake_at_once() -> None:
    text = BASE.replace("UTC", "Mars").replace('"ext4"', '"ntfs"').replace("198.18.98.21/24", "here")
    assert [one.partition(":")[0] for one in check_answer(text)] == [
        "global.timezone",
        "network.cidr",
        "disk-setup.filesystem",
    ]


def test_shows_no_password() -> None:
    said = check_answer(BASE.replace("long enough", "hunter2"))
    assert said
    assert "hunter2" not in "; ".join(said)


WRITTEN: dict[str, dict[str, Any]] = {
    "global": {
        "keyboard": "de",
        "country": "at",
        "fqdn": "hv01.x.lan",
        "mailto": "a@b.c",
        "timezone": "Europe/Vienna",
        "root_password": 'quote " backslash \\ tab \t del \x7f umlaut ä',
        "root_ssh_keys": ["ssh-ed25519 AAAA a b"],
        "reboot_mode": "power-off",
        "reboot_on_error": False,
    },
    "network": {
        "source": "from-answer",
        "cidr": "10.0.0.2/24",
        "dns": "10.0.0.1",
        "gateway": "10.0.0.1",
        "filter": {"ID_NET_NAME_MAC": "*02de98000201"},
    },
    "disk_setup": {"filesystem": "zfs", "disk_list": ["vda"], "zfs": {"raid": "raid0", "arc_max": 512, "hdsize": 20.5}},
}


def test_writes_what_it_reads() -> None:
    text = render_answer(WRITTEN)
    assert check_answer(text) == []
    assert read_answer(text).global_.root_password == WRITTEN["global"]["root_password"]
    assert read_answer(text).disk_setup.zfs is not None


def test_writes_the_installers_own_spelling() -> None:
    said = tomllib.loads(render_answer(WRITTEN))
    assert list(said) == ["global", "network", "disk-setup"]
    assert said["global"]["root-ssh-keys"] == ["ssh-ed25519 AAAA a b"]
    assert said["network"]["filter"] == {"ID_NET_NAME_MAC": "*02de98000201"}
    assert said["disk-setup"]["zfs"]["arc-max"] == 512
    assert "None" not in render_answer({"global": {"mailto": None}})


def test_knows_the_places_of_the_installer() -> None:
    assert len(KEYBOARDS) == 25
    assert len(countries()) == 249
    assert {"UTC", "Europe/Berlin", "America/Indiana/Knox"} <= timezones()
    assert "Etc/UTC" not in timezones()


@pytest.mark.parametrize(
    ("name", "takes"), [("a.b", True), ("a1.b", True), ("1.b", False), ("a", False), ("a..b", False), ("a.b.", False)]
)
def test_takes_fewer_names_than_dns(name: str, takes: bool) -> None:
    assert (fqdn_mistake(name) is None) == takes
