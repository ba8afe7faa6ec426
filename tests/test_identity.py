"""Names, MACs and addresses have one grammar, and the next free MAC is the lowest that nobody holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import inventory
from harness.errors import Invalid
from harness.identity import (
    HostName,
    Namespace,
    compose_mac,
    is_label,
    is_locally_administered,
    next_free_mac,
    parse_host_name,
    parse_mac,
)
from harness.inventory.proposing import propose_mac

SHIPPED = Path(__file__).parent.parent / "inventory"
NAMESPACE = Namespace("02:de", "20", {"observability": "01", "access": "03"}, {"metrics": "01", "oob": "0a"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hv01", HostName(None, "hv", 1)),
        ("core-rt02", HostName("core", "rt", 2)),
        ("metrics-vm01", HostName("metrics", "vm", 1)),
        ("north-wing-sw12", HostName("north-wing", "sw", 12)),
        ("pi05", HostName(None, "pi", 5)),
    ],
)
def test_host_names_are_read(text: str, expected: HostName) -> None:
    assert parse_host_name(text) == expected


@pytest.mark.parametrize("text", ["", "metrics", "vm1", "metrics-vm1", "Metrics-vm01", "a_b-vm01", "-vm01", "x-vm001"])
def test_other_names_are_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match=r"\[role-\]formNN"):
        parse_host_name(text)


@pytest.mark.parametrize("text", ["vm01", "rt02", "ph01", "em03"])
def test_a_form_that_says_nothing_needs_a_role(text: str) -> None:
    with pytest.raises(ValueError, match="a role before"):
        parse_host_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("x-1", True),
        ("a" * 63, True),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("a.b", False),
        ("A", False),
    ],
)
def test_labels_are_those_of_dns(text: str, expected: bool) -> None:
    assert is_label(text) is expected
    assert is_label("a" * 64) is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("02:DE:20:01:01:01", "lowercase and colons: '02:de:20:01:01:01'"),
        ("02-de-20-01-01-01", "lowercase and colons: '02:de:20:01:01:01'"),
        ("02:de:20:01:01", "six bytes"),
        ("02:de:20:01:01:0g", "six bytes"),
        ("01:00:5e:00:00:01", "unicast"),
        ("02:de:20:01:01:01 ", "six bytes"),
    ],
)
def test_a_mac_has_one_notation(text: str, words: str) -> None:
    assert parse_mac("02:de:20:01:01:01") == "02:de:20:01:01:01"
    with pytest.raises(ValueError, match=words):
        parse_mac(text)


def test_the_second_bit_tells_who_gave_the_mac() -> None:
    given = {
        "02:de:20:01:01:01": True,
        "06:00:00:00:00:01": True,
        "bc:24:11:2e:26:4e": False,
        "00:e0:4c:29:1e:50": False,
    }
    assert {text: is_locally_administered(parse_mac(text)) for text in given} == given


def test_a_mac_is_composed_byte_by_byte() -> None:
    assert compose_mac(NAMESPACE, category="observability", group="metrics", index=1) == "02:de:20:01:01:01"
    assert compose_mac(NAMESPACE, category="access", group="oob", index=255) == "02:de:20:03:0a:ff"
    with pytest.raises(KeyError):
        compose_mac(NAMESPACE, category="access", group="unheard-of", index=1)
    for index in (0, 256):
        with pytest.raises(ValueError, match="one byte"):
            compose_mac(NAMESPACE, category="access", group="oob", index=index)


def test_the_next_free_mac_fills_the_first_gap() -> None:
    taken = ["02:de:20:03:0a:01", "02:DE:20:03:0A:02", "02:de:20:03:0a:04", "UNKNOWN"]
    assert next_free_mac(NAMESPACE, taken, category="access", group="oob") == "02:de:20:03:0a:03"
    full = [f"02:de:20:03:0a:{index:02x}" for index in range(1, 256)]
    with pytest.raises(ValueError, match="all 255 addresses of access/oob are taken"):
        next_free_mac(NAMESPACE, full, category="access", group="oob")


def test_a_proposal_looks_at_every_site() -> None:
    dvntm, dvnt = inventory.load(SHIPPED, "dvntm"), inventory.load(SHIPPED, "dvnt")
    assert propose_mac(dvntm, dvnt, category="observability", group="metrics") == "02:de:20:01:01:02"
    assert propose_mac(dvnt, dvntm, category="access", group="jump") == "02:de:10:03:09:02"
    assert propose_mac(dvntm, category="access", group="metrics") == "02:de:20:03:01:01"


def test_a_proposal_says_what_it_cannot_propose() -> None:
    dvntm = inventory.load(SHIPPED, "dvntm")
    for category, group, words in (
        ("network", "metrics", "mgmt_mac_namespace.roles has no 'network'. Choose one of observability, automation"),
        ("access", "vpn", "mgmt_mac_namespace.groups has no 'vpn'"),
    ):
        with pytest.raises(Invalid, match=words):
            propose_mac(dvntm, category=category, group=group)


def test_a_mac_is_proposed_while_the_inventory_still_lacks_it(tmp_path: Path) -> None:
    """The hint of the check must work where the check fails, and beside sites that are not ours."""
    shutil.copytree(SHIPPED / "dvntm", tmp_path / "dvntm")
    (tmp_path / "garage").mkdir()
    (tmp_path / "garage/hosts.yml").write_text("all: {hosts: {door-em01: {}}}\n")
    vm = tmp_path / "dvntm/host_vars/logs-vm01.yml"
    vm.write_text(vm.read_text().replace('"02:de:20:01:02:01"', "UNKNOWN"))
    with pytest.raises(Invalid, match=r"inventory\.mac"):
        inventory.load(tmp_path, "dvntm")
    found = inventory.survey(tmp_path, "dvntm")
    assert propose_mac(*found, category="observability", group="logs") == "02:de:20:01:02:01"
    (tmp_path / "dvntm/group_vars/all/mac_namespace.yml").unlink()
    with pytest.raises(Invalid, match="mgmt_mac_namespace is missing or wrong"):
        inventory.survey(tmp_path, "dvntm")


def test_every_shipped_mac_is_what_its_namespace_says() -> None:
    """Golden: what is written down, not what is computed when the tool runs."""
    macs = {
        site: {host.name: host.claims[0].mac for host in inventory.load(SHIPPED, site).guests}
        for site in ("dvnt", "dvntm", "lab")
    }
    for site, environment in {"dvnt": "10", "dvntm": "20", "lab": "99"}.items():
        assert macs[site] == {
            "metrics-vm01": f"02:de:{environment}:01:01:01",
            "logs-vm01": f"02:de:{environment}:01:02:01",
            "dashboards-vm01": f"02:de:{environment}:01:03:01",
            "alerting-vm01": f"02:de:{environment}:01:04:01",
            "ansible-vm01": f"02:de:{environment}:02:05:01",
            "factory-vm01": f"02:de:{environment}:02:06:01",
            "bootstrap-vm01": f"02:de:{environment}:02:07:01",
            "inventory-vm01": f"02:de:{environment}:02:08:01",
            "jump-vm01": f"02:de:{environment}:03:09:01",
            "oob-vm01": f"02:de:{environment}:03:0a:01",
        }
