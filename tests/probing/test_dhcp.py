"""A segment is asked without anything being taken: who answers, and what each MAC would be offered."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.contract import Mac
from harness.probing.dhcp import DhcpAnswers, Offer, Server, parse_answers, render_command
from harness.probing.dhcp_discover import COOKIE, bootp, discover, parse
from harness.routers.dnsmasq import LEASES_FILE, main_file, render
from tests.routers.namespace import CLIENT_NIC, Namespace, started_router, what_is_missing
from tests.routers.values import ADDRESSES, MACS, contract

ROUTER = "198.18.99.1"
STRANGER = Mac("02:de:99:7f:00:01")


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    folder, files = tmp_path_factory.mktemp("router"), render(contract())
    conf = f"--conf-file={main_file('lab')}"
    with started_router(folder, files, conf, address=f"{ROUTER}/24") as started:
        yield started


def asked(router: Namespace, *macs: Mac, **options: float) -> DhcpAnswers:
    """As on a hypervisor: the very command, in a shell."""
    answer = router.run(render_command(CLIENT_NIC, macs, **options))  # type: ignore[arg-type]
    assert answer.rc == 0, answer.stderr
    return parse_answers(answer.stdout)


def test_each_mac_is_offered_its_address(router: Namespace) -> None:
    heard = asked(router, *MACS.values(), until_all=True)
    offered = {offer.mac: (offer.address, offer.server.address) for offer in heard.offers}
    assert offered == {MACS[name]: (ADDRESSES[name], ROUTER) for name in MACS}
    assert [server.address for server in heard.servers] == [ROUTER]


def test_a_mac_without_reservation_is_offered_nothing(router: Namespace) -> None:
    heard = asked(router, STRANGER, MACS["logs-vm01"], seconds=0.6)
    assert heard.offers_to(STRANGER) == ()
    assert len(heard.offers_to(MACS["logs-vm01"])) == 1


def test_nothing_is_taken(router: Namespace) -> None:
    asked(router, *MACS.values(), until_all=True)
    assert router.run(f"cat {LEASES_FILE}").stdout == ""


def test_all_offers_end_the_wait(router: Namespace) -> None:
    began = time.monotonic()
    asked(router, MACS["logs-vm01"], seconds=20, until_all=True)
    assert time.monotonic() - began < 10


def test_the_question_comes_from_the_interface_and_names_the_guest_inside() -> None:
    own, guest = bytes.fromhex("0299c6126315"), "02:de:99:01:01:01"
    frame = discover(own, guest, b"abcd")
    assert frame[:12] == b"\xff" * 6 + own, "a switch must not learn the guest's MAC at our port"
    payload = frame[42:]
    assert payload[28:34].hex(":") == guest
    assert struct.unpack("!H", payload[10:12])[0] == 0x8000, "the answer is to be broadcast"
    assert payload[236:243] == COOKIE + b"\x35\x01\x01"


@pytest.mark.parametrize("data", [b"", b"x" * 20, b"\0" * 400, discover(b"\2" * 6, "02:de:99:01:01:01", b"abcd")])
def test_other_frames_are_no_answers(data: bytes) -> None:
    assert parse(data) is None


def test_a_server_that_does_not_name_itself_is_its_address() -> None:
    payload = bytearray(bootp(b"\2" * 6, bytes(4), b"abcd", 2, 0))
    payload[0], payload[16:20] = 2, bytes([198, 18, 99, 30])
    udp = struct.pack("!HHHH", 67, 68, 8 + len(payload), 0) + bytes(payload)
    head = b"\x45" + bytes(8) + b"\x11" + bytes(2)
    frame = b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + head + bytes([198, 18, 99, 9]) + b"\xff" * 4 + udp
    found = parse(frame)
    assert found is not None
    transaction, kind, told = found
    assert (transaction, kind) == (b"abcd", 2)
    assert told == {"server": "198.18.99.9", "source_mac": "02:02:02:02:02:02", "address": "198.18.99.30"}


def test_a_server_counts_once_whatever_it_answered_to() -> None:
    told = {"server": ROUTER, "source_mac": "02:99:c6:12:63:01"}
    text = json.dumps({"interface": "vmbr0", "offers": [{**told, "mac": STRANGER, "address": "a"}], "servers": [told]})
    server = Server(ROUTER, "02:99:c6:12:63:01")
    assert parse_answers(text) == DhcpAnswers("vmbr0", (Offer(STRANGER, "a", server),), (server,))


def test_the_script_stands_alone() -> None:
    """It is sent to a machine that has nothing of ours."""
    text = (Path(__file__).parents[2] / "harness/probing/dhcp_discover.py").read_text()
    assert "import harness" not in text
    assert "from harness" not in text
