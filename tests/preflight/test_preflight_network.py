"""Host key, names, authority and reservations are judged by what was seen, and nothing unseen counts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from harness.preflight import network
from harness.routers import ObservedRouter
from tests.preflight.values import NOWHERE, contract, hypervisor, only, reservation, router, states
from tests.wires import key_of

SERVER = "core-rt01 (198.18.99.1)"


def test_the_pinned_host_key_must_be_shown() -> None:
    pinned, other = frozenset({key_of("hv01")}), frozenset({key_of("stranger")})
    assert states(network.judge_host_key(hypervisor(), (NOWHERE,), pinned, pinned)) == ["ok"]
    changed = only(network.judge_host_key(hypervisor(), (NOWHERE,), pinned, other))
    assert f"{key_of('stranger').fingerprint} instead of ssh-ed25519 {key_of('hv01').fingerprint}" in changed.said
    unpinned = only(network.judge_host_key(hypervisor(), (NOWHERE,), frozenset(), other))
    assert unpinned.said.startswith("no host key of hv01 is pinned; it shows ssh-ed25519 SHA256:")
    assert f"under the name hv01 in {NOWHERE}" in unpinned.do
    assert {changed.state, unpinned.state} == {"failed"}


RIGHT = {
    "hv01.lab.deevnet.net": ["198.18.99.21"],
    "pve.lab.deevnet.net": ["198.18.99.21"],
}


@pytest.mark.parametrize(
    ("answers", "back", "words"),
    [
        (RIGHT, ["hv01.lab.deevnet.net"], None),
        ({**RIGHT, "hv01.lab.deevnet.net": []}, ["hv01.lab.deevnet.net"], "hv01.lab.deevnet.net leads to nothing"),
        (
            {**RIGHT, "pve.lab.deevnet.net": ["198.18.99.9"]},
            ["hv01.lab.deevnet.net"],
            "pve.lab.deevnet.net leads to 198.18.99.9, declared is 198.18.99.21",
        ),
        (
            {**RIGHT, "hv01.lab.deevnet.net": ["198.18.99.21", "198.18.99.9"]},
            ["hv01.lab.deevnet.net"],
            "leads to 198.18.99.21, 198.18.99.9",
        ),
        (RIGHT, [], "198.18.99.21 leads back to nothing"),
        (RIGHT, ["pve.lab.deevnet.net"], "198.18.99.21 leads back to pve.lab.deevnet.net"),
    ],
)
def test_names_lead_to_the_declared_address_and_back(
    answers: dict[str, list[str]], back: list[str], words: str | None
) -> None:
    records = network.records_of(contract(), ["hv01.lab.deevnet.net"])
    assert [record.type for record in records] == ["A", "CNAME"]
    found = list(
        network.judge_names(
            records,
            {IPv4Address("198.18.99.21"): "hv01.lab.deevnet.net"},
            lambda name: [IPv4Address(one) for one in answers[name]],
            lambda _: back,
            SERVER,
        )
    )
    wrong = [one for one in found if one.state != "ok"]
    assert (wrong == []) if words is None else (words in only(wrong).said and SERVER in only(wrong).do)


HELD = router(reservation("02:de:99:01:01:00", "198.18.99.30", "metrics-vm01"))


@pytest.mark.parametrize(
    ("declared", "software", "seen", "state", "words"),
    [
        (("core", "opnsense"), "unbound 1.19.0", None, "note", "its reservations cannot be read from here"),
        (("core", "opnsense"), "dnsmasq-2.90", None, "failed", "dnsmasq-2.90 answers DNS at core-rt01"),
        (("core", "dnsmasq"), "dnsmasq-2.90", HELD, "ok", "with 1 reservations"),
        (("core", "dnsmasq"), None, router(), "failed", "holds no reservation at all"),
        (("bootstrap", "dnsmasq"), "dnsmasq-2.90", HELD, "ok", "dnsmasq-2.90 answers"),
        (("bootstrap", "dnsmasq"), None, HELD, "ok", "dnsmasq answers"),
        (("bootstrap", "opnsense"), "unbound 1.19.0", None, "failed", "but unbound 1.19.0 answers"),
        (("bootstrap", "opnsense"), None, None, "unknown", "does not say what it is"),
    ],
)
def test_the_declared_authority_must_be_the_one_that_answers(
    declared: tuple[str, str], software: str | None, seen: ObservedRouter | None, state: str, words: str
) -> None:
    plain, (authority, kind) = contract(), declared
    site = replace(plain, authority=authority, router=replace(plain.router, kind=kind))  # type: ignore[arg-type]
    found = only(network.judge_authority(site, software, seen))
    assert (found.state, words in found.said) == (state, True), str(found)


def test_each_missing_and_each_contradicting_reservation_is_said() -> None:
    metrics, logs = contract().reservations
    assert states(network.judge_reservations(contract(), router(metrics, logs), 0.0)) == ["ok"]
    other = reservation("bc:24:11:00:00:01", str(logs.address), "web01")
    found = list(network.judge_reservations(contract(), router(other), 0.0))
    assert [one.said for one in found] == [
        "reservation of metrics-vm01 on core-rt01: expected 02:de:99:01:01:00 -> 198.18.99.30 (metrics-vm01), "
        "seen nothing",
        "reservation of logs-vm01 on core-rt01: expected 02:de:99:01:01:01 -> 198.18.99.31 (logs-vm01), seen nothing",
        "address of logs-vm01 on core-rt01: expected 02:de:99:01:01:01 -> 198.18.99.31 (logs-vm01), "
        "seen bc:24:11:00:00:01 -> 198.18.99.31 (web01), which the inventory does not declare",
    ]
