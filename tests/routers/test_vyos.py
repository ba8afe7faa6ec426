"""What only VyOS does: two spellings, one commit for all or nothing, and a configuration that must be saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness.contract import Mac, Record, Reservation
from harness.errors import Refused, Unreachable
from harness.lab.router.first import STATE
from harness.routers.port import Changes
from harness.routers.vyos import render
from harness.routers.vyos_config import Config, changed, commands, records_of, reservations_of
from harness.routers.vyos_leases import parse_leases
from tests.routers.standin import KEY, StandIn, Variant, started, what_is_missing
from tests.routers.values import DOMAIN, MACS, contract

GOLDEN = Path(__file__).with_name("golden")
METRICS = Reservation(MACS["metrics-vm01"], IPv4Address("198.18.99.30"), "metrics-vm01")
NEW = Reservation(Mac("02:de:99:01:03:01"), IPv4Address("198.18.99.32"), "dashboards-vm01")
NOTHING = Changes((), (), (), ())
SUBNET = "service dhcp-server shared-network-name LAB subnet 198.18.99.0/24"


@pytest.mark.parametrize("release", sorted(render(contract())))
def test_commands_are_what_was_reviewed(release: str) -> None:
    assert render(contract())[release] == (GOLDEN / "vyos" / f"{release.split()[1]}.txt").read_text()


@pytest.fixture(params=["1.4", "1.5"])
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StandIn]:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path, Variant("vyos", release=request.param)) as made:
        yield made


@pytest.fixture
def current(tmp_path: Path) -> Iterator[StandIn]:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path, Variant("vyos")) as made:
        yield made


def saved(router: StandIn) -> str:
    return json.dumps(json.loads(router.run(f"cat {STATE}/state.json"))["saved"])


def test_its_release_is_asked_and_spelled(router: StandIn) -> None:
    router.write(replace(NOTHING, add_reservations=(NEW,)))
    leaf = "mac" if router.variant.release == "1.5" else "mac-address"
    assert f"{SUBNET} static-mapping dashboards-vm01 {leaf} {NEW.mac}" in running_commands(router)


def test_the_other_spelling_is_refused_by_the_router(router: StandIn) -> None:
    other = "mac" if router.variant.release == "1.4" else "mac-address"
    said = router.configure(f"set {SUBNET} static-mapping x {other} 02:de:99:01:03:01")
    assert said["success"] is False
    assert "is not valid" in said["error"]


def running_commands(router: StandIn) -> str:
    said = urlencode({"key": KEY, "data": json.dumps({"op": "show", "path": ["configuration", "commands"]})})
    return str(router.send("/show", {}, said)[1]["data"])


def test_what_is_written_is_saved(current: StandIn) -> None:
    """VyOS forgets at the next boot what nobody saved."""
    current.write(replace(NOTHING, add_reservations=(NEW,)))
    assert "dashboards-vm01" in saved(current)
    current.configure(f"set {SUBNET} static-mapping unsaved-vm01 mac 02:de:99:01:03:02")
    assert "unsaved-vm01" not in saved(current)


def test_a_mapping_keeps_what_else_it_holds(current: StandIn) -> None:
    current.configure(f"set {SUBNET} static-mapping metrics-vm01 description PXE")
    moved = replace(METRICS, address=IPv4Address("198.18.99.40"))
    current.write(replace(NOTHING, remove_reservations=(METRICS,), add_reservations=(moved,)))
    told = running_commands(current)
    assert "static-mapping metrics-vm01 description PXE" in told
    assert "static-mapping metrics-vm01 ip-address 198.18.99.40" in told


def test_its_words_are_quoted(current: StandIn) -> None:
    taken = replace(NEW, address=IPv4Address("198.18.99.31"))
    error = current.failing(replace(NOTHING, add_reservations=(taken,)))
    assert 'for static mapping "dashboards-vm01" already exists on another static mapping' in str(error)
    assert "Commit failed" in str(error)


def test_somebody_elses_commit_is_said(current: StandIn) -> None:
    current.run(f"touch {STATE}/committing")
    error = current.failing(replace(NOTHING, add_reservations=(NEW,)))
    assert "temporarily locked" in str(error)
    assert "Somebody else is committing there" in error.do
    assert NEW not in current.observe().reservations


def test_a_disabled_mapping_reserves_nothing_and_is_not_overwritten(current: StandIn) -> None:
    current.configure(f"set {SUBNET} static-mapping metrics-vm01 disable")
    assert METRICS not in current.observe().reservations
    error = current.failing(replace(NOTHING, add_reservations=(METRICS,)))
    assert "there is a static mapping metrics-vm01 already" in str(error)


def test_a_wrong_key_is_refused_and_not_shown(current: StandIn) -> None:
    api = current.contract.router.api
    assert api is not None
    Path(str(api.key.value)).write_text("not-the-key-1234")
    with pytest.raises(Refused, match="does not accept the key") as caught:
        current.observe()
    assert "not-the-key-1234" not in f"{caught.value!r} {caught.value}"


def test_a_router_that_is_no_vyos_is_named(tmp_path: Path) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path, Variant("opnsense")) as router, pytest.raises(Unreachable, match="not as VyOS's API does"):
        replace(router, variant=Variant("vyos")).observe()


# Values.


def config(**mappings: dict[str, str]) -> Config:
    subnet = {"static-mapping": mappings} if mappings else {"range": {"0": {"start": "198.18.99.100"}}}
    return Config({"shared-network-name": {"LAN": {"subnet": {"198.18.99.0/24": subnet}}}}, {}, {})


def test_both_spellings_are_read() -> None:
    seen = config(
        old={"mac-address": "02:DE:99:01:01:01", "ip-address": "198.18.99.30"},
        new={"mac": "02:de:99:01:02:01", "ip-address": "198.18.99.31"},
        duid={"duid": "00:01", "ip-address": "198.18.99.32"},
        free={"mac": "02:de:99:01:02:09"},
    )
    found = {one.name: one.mac for one in reservations_of(seen)}
    assert found == {"old": "02:de:99:01:01:01", "new": "02:de:99:01:02:01", "duid": ""}


def test_one_value_and_more_are_read_and_written() -> None:
    hosts = {
        "a.example": {"inet": "10.0.0.1", "alias": ["b.example", "C.example."]},
        "d.example": {"inet": ["10.0.0.4", "10.0.0.5"]},
    }
    seen = Config({}, {"host-name": hosts}, {})
    assert records_of(seen) == [
        Record("A", "a.example", "10.0.0.1"),
        Record("CNAME", "b.example", "a.example"),
        Record("CNAME", "c.example", "a.example"),
        Record("A", "d.example", "10.0.0.4"),
        Record("A", "d.example", "10.0.0.5"),
    ]
    gone = replace(
        NOTHING, remove_records=(Record("A", "d.example", "10.0.0.4"), Record("CNAME", "c.example", "a.example"))
    )
    assert [str(one) for one in commands(seen, changed(seen, gone, "1.5", on="x"))] == [
        "delete system static-host-mapping host-name a.example alias C.example.",
        "delete system static-host-mapping host-name d.example inet 10.0.0.4",
    ]


def test_records_of_its_own_zones_are_read_and_removed() -> None:
    records = {
        "a": {"www": {"address": ["10.0.0.1"]}, "@": {"address": "10.0.0.2"}},
        "cname": {"w": {"target": "www.example"}},
    }
    seen = Config({}, {}, {"example": {"records": records}})
    found = records_of(seen)
    assert found == [
        Record("A", "www.example", "10.0.0.1"),
        Record("A", "example", "10.0.0.2"),
        Record("CNAME", "w.example", "www.example"),
    ]
    made = changed(seen, replace(NOTHING, remove_records=(found[0], found[2])), "1.5", on="x")
    zone = "delete service dns forwarding authoritative-domain example records"
    assert [str(one) for one in commands(seen, made)] == [f"{zone} a www", f"{zone} cname w"]


def test_the_last_mapping_goes_with_its_node() -> None:
    one = config(x={"mac": NEW.mac, "ip-address": str(NEW.address)})
    made = changed(one, replace(NOTHING, remove_reservations=(replace(NEW, name="x"),)), "1.5", on="x")
    assert [str(each) for each in commands(one, made)] == [
        "delete service dhcp-server shared-network-name LAN subnet 198.18.99.0/24 static-mapping"
    ]


def test_commands_lead_there_and_back() -> None:
    now = config(x={"mac": NEW.mac, "ip-address": str(NEW.address), "description": "d"}, y={"mac": "02:00:00:00:00:01"})
    wanted = config(x={"mac": NEW.mac, "ip-address": "198.18.99.77"}, z={"mac": "02:00:00:00:00:02"})
    base = "service dhcp-server shared-network-name LAN subnet 198.18.99.0/24 static-mapping"
    assert [str(one) for one in commands(now, wanted)] == [
        f"delete {base} x ip-address 198.18.99.32",
        f"delete {base} x description",
        f"delete {base} y",
        f"set {base} x ip-address 198.18.99.77",
        f"set {base} z mac 02:00:00:00:00:02",
    ]
    assert commands(now, now) == []


LEASES = """\
IP Address    MAC address        State    Lease start          Lease expiration     Remaining       Pool  Hostname      Origin
------------  -----------------  -------  -------------------  -------------------  --------------  ----  ------------  ------
198.18.99.30  02:DE:99:01:01:01  active   2026/11/22 10:00:00  2026/11/22 11:00:00  0:10:05         LAN   metrics-vm01  local
198.18.99.31  02:de:99:01:02:01  active   2026/11/22 10:00:00  -                    -               LAN                 local
198.18.99.32  02:de:99:01:03:01  active   2026/11/22 10:00:00  2026/11/24 11:00:00  1 day, 2:00:00  LAN   two words     remote
198.18.99.33  02:de:99:01:04:01  expired  2026/11/22 10:00:00  2026/11/22 11:00:00                  LAN   gone          local
"""  # noqa: E501 - as it is printed


def test_leases_are_read_from_the_table() -> None:
    found = list(parse_leases(LEASES, now=1000.5, on="r"))
    assert [(one.address, one.mac, one.name, one.expires_at) for one in found] == [
        ("198.18.99.30", "02:de:99:01:01:01", "metrics-vm01", 1605),
        ("198.18.99.31", "02:de:99:01:02:01", None, None),
        ("198.18.99.32", "02:de:99:01:03:01", "two words", 1000 + 26 * 3600),
    ]
    assert list(parse_leases("", now=0, on="r")) == []


def test_a_sentence_is_no_table() -> None:
    with pytest.raises(Refused, match="'DHCP server is not configured'"):
        list(parse_leases("DHCP server is not configured\n", now=0, on="r"))


# What the stand-in itself promises.


def test_the_stand_in_answers_as_vyos_does(current: StandIn) -> None:
    def ask(path: str, data: str, key: str = KEY) -> tuple[int, str]:
        status, said = current.send(path, {}, urlencode({"key": key, "data": data}))
        assert said["success"] is (status == 200)
        return status, str(said["error"])

    assert current.send("/retrieve", {}, None)[0] == 405
    assert ask("/retrieve", "[") == (400, "Failed to parse JSON: Expecting value: line 1 column 2 (char 1)")
    assert ask("/retrieve", "{}", "wrong") == (401, "Valid API key is required")
    assert current.send("/retrieve", {}, urlencode({"key": KEY}))[0] == 422
    assert ask("/retrieve", '{"path": []}') == (400, "Malformed command '{\"path\": []}': missing 'op' field")
    assert "missing 'path' field" in ask("/configure", '[{"op": "set"}]')[1]
    assert "'path' field must be a list" in ask("/configure", '[{"op": "set", "path": "x"}]')[1]
    assert ask("/configure", '{"op": "save", "path": []}')[1] == "'save' is not a valid operation"
    nothing = ask("/retrieve", '{"op": "showConfig", "path": ["service", "dns", "dynamic"]}')
    assert nothing == (400, "Configuration under specified path is empty\n")


def test_one_bad_command_discards_the_whole_commit(current: StandIn) -> None:
    good = f"set {SUBNET} static-mapping good-vm01 mac 02:de:99:01:05:01"
    bad = f"set {SUBNET} static-mapping bad-vm01 ip-address 198.18.99.50"
    said = current.configure(good, bad)
    assert said["success"] is False
    assert 'required for static mapping "bad-vm01"' in said["error"]
    assert "good-vm01" not in running_commands(current)
    assert f"host-name metrics-vm01.{DOMAIN} alias metrics.{DOMAIN}" in running_commands(current)
