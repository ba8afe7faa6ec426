"""A running dnsmasq gets exactly the changes, at once, in one reload, and is as before when it refuses them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness import errors, probe
from harness.contract import Contract, Mac, Record, Reservation
from harness.routers import Changes, compare, open_router
from harness.routers.dnsmasq import DNS_FILE, RESERVATIONS_FILE, main_file, render
from harness.wait import wait_until
from tests.routers import dhcp
from tests.routers.namespace import CLIENT_NIC, Namespace, started_router, what_is_missing
from tests.routers.values import ADDRESSES, DOMAIN, MACS, contract

ADDRESS = "198.18.99.1"
MAIN = main_file("lab")
WANTED = Reservation(MACS["metrics-vm01"], IPv4Address(ADDRESSES["metrics-vm01"]), "metrics-vm01")
A = Record("A", f"metrics-vm01.{DOMAIN}", ADDRESSES["metrics-vm01"])


@contextmanager
def running(folder: Path, site: Contract) -> Iterator[Namespace]:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    with started_router(folder, render(site), f"--conf-file={MAIN}", address=f"{ADDRESS}/24") as started:
        yield started


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Namespace]:
    """A dnsmasq without the metrics VM."""
    plain = contract()
    lacking = replace(
        plain,
        reservations=tuple(one for one in plain.reservations if one != WANTED),
        records=tuple(one for one in plain.records if one != A),
    )
    with running(tmp_path, lacking) as started:
        yield started


def text_of(router: Namespace, path: str) -> str:
    return router.run(f"cat {path}").stdout


def reloads(router: Namespace) -> int:
    return router.log.read_text().count(f"read {RESERVATIONS_FILE}")


def settle(router: Namespace, count: int) -> None:
    waited = wait_until(lambda: (True if reloads(router) >= count else None, str(reloads(router))), deadline_s=5)
    assert waited.value, waited.last_seen


def test_what_is_missing_is_added_in_one_reload_and_served(router: Namespace) -> None:
    settle(router, 1)
    with open_router(contract(), shell=router.run) as opened:
        found = compare(contract(), opened.observe(), now=time.time())
        assert found.changes == Changes((), (WANTED,), (), (A,))
        opened.write(found.changes)
        assert compare(contract(), opened.observe(), now=time.time()).differences == ()
    settle(router, 2)
    lease = router.inside(lambda: dhcp.lease(CLIENT_NIC, WANTED.mac))
    assert lease is not None
    assert lease.address == WANTED.address
    assert router.inside(lambda: probe.resolve_ptr(A.target, ADDRESS)) == (A.name,)
    assert reloads(router) == 2


def test_every_other_line_stays_as_somebody_wrote_it(router: Namespace) -> None:
    mine = "02:de:99:7f:00:01,198.18.99.200,laptop # of Ann"
    router.run(f"echo '{mine}' >>{RESERVATIONS_FILE}; echo 'log-queries # for a while' >>{MAIN}; chmod 640 {MAIN}")
    before = text_of(router, RESERVATIONS_FILE)
    with open_router(contract(), shell=router.run) as opened:
        opened.write(Changes((), (WANTED,), (), ()))
    assert text_of(router, RESERVATIONS_FILE) == before + f"{WANTED.mac},id:*,{WANTED.address},metrics-vm01\n"
    assert "log-queries # for a while" in text_of(router, MAIN)
    assert router.run(f"stat -c %a {MAIN}").stdout == "640\n"


def test_one_of_two_macs_of_a_line_goes_alone(router: Namespace) -> None:
    router.run(f"echo '{WANTED.mac},02:de:99:7f:00:01,198.18.99.200,pair' >>{RESERVATIONS_FILE}")
    gone = Reservation(WANTED.mac, IPv4Address("198.18.99.200"), "pair")
    with open_router(contract(), shell=router.run) as opened:
        opened.write(Changes((gone,), (WANTED,), (), ()))
    assert "02:de:99:7f:00:01,198.18.99.200,pair" in text_of(router, RESERVATIONS_FILE).splitlines()


def test_a_name_leaves_a_line_that_has_others(router: Namespace) -> None:
    router.run(f"echo '198.18.99.200 printer.{DOMAIN} metrics-vm01.{DOMAIN}' >>{DNS_FILE}")
    with open_router(contract(), shell=router.run) as opened:
        opened.write(Changes((), (), (replace(A, target="198.18.99.200"),), (A,)))
    lines = text_of(router, DNS_FILE).splitlines()
    assert f"198.18.99.200 printer.{DOMAIN}" in lines
    assert f"{A.target} {A.name}" in lines


def test_a_snapshot_brings_everything_back(router: Namespace) -> None:
    with open_router(contract(), shell=router.run) as opened:
        before, held = opened.snapshot(), opened.observe()
        opened.write(Changes((), (WANTED,), (), (A,)))
        opened.restore(before)
        assert opened.snapshot() == before
        assert opened.observe() == held
    assert router.inside(lambda: dhcp.lease(CLIENT_NIC, WANTED.mac, timeout_s=0.5)) is None


def test_files_that_dnsmasq_refuses_are_put_back(router: Namespace) -> None:
    """The mistake is somebody else's, in a file that dnsmasq read before it stood there."""
    router.run(f"echo nonsense >>{MAIN}")
    before = text_of(router, RESERVATIONS_FILE)
    with (
        open_router(contract(), shell=router.run) as opened,
        pytest.raises(errors.HarnessError, match=r"bad option at line .*the files before are back"),
    ):
        opened.write(Changes((), (WANTED,), (), ()))
    assert text_of(router, RESERVATIONS_FILE) == before
    assert reloads(router) == 1
    assert router.run("ls -A /etc/mgmt-dnsmasq /etc/dnsmasq.d").stdout.count("mgmt-new") == 0


def test_what_somebody_else_does_meanwhile_outlives_a_way_back(router: Namespace) -> None:
    """In a file without an entry of ours, which a write never changes."""
    router.run(f"echo 'conf-dir=/etc/mgmt-more/' >>{MAIN}; mkdir /etc/mgmt-more; echo log-dhcp >/etc/mgmt-more/a")
    with open_router(contract(), shell=router.run) as opened:
        before = opened.snapshot()
        opened.write(Changes((), (WANTED,), (), ()))
        router.run("echo log-queries >/etc/mgmt-more/a")
        opened.restore(before)
        assert opened.snapshot() == before
    assert text_of(router, "/etc/mgmt-more/a") == "log-queries\n"


def test_a_file_has_one_name_however_its_folder_is_written(router: Namespace) -> None:
    router.run(f"echo 'conf-dir=/etc/mgmt-more//' >>{MAIN}; mkdir /etc/mgmt-more")
    router.run(f"echo 'dhcp-host={WANTED.mac},198.18.99.77,metrics-vm01' >/etc/mgmt-more/a")
    with open_router(contract(), shell=router.run) as opened:
        assert set(opened.snapshot()) == {MAIN, RESERVATIONS_FILE, DNS_FILE, "/etc/mgmt-more/a"}


def test_without_a_unit_it_is_not_restarted(router: Namespace) -> None:
    """An alias stands in the main file, which only a restart reads; this dnsmasq was started by hand."""
    before = text_of(router, MAIN)
    alias = Record("CNAME", f"www.{DOMAIN}", f"logs-vm01.{DOMAIN}")
    with (
        open_router(contract(), shell=router.run) as opened,
        pytest.raises(errors.HarnessError, match=r"not run by a systemd unit.*nothing was changed"),
    ):
        opened.write(Changes((), (), (), (alias,)))
    assert text_of(router, MAIN) == before


def test_files_cut_short_on_the_way_change_nothing(router: Namespace) -> None:
    before = text_of(router, RESERVATIONS_FILE)

    def cut(command: str, *, stdin: str | None = None) -> object:
        return router.run(command, stdin=stdin and stdin.removesuffix("end\n"))

    with (
        open_router(contract(), shell=cut) as opened,  # type: ignore[arg-type]
        pytest.raises(errors.HarnessError, match="the files arrived cut short; nothing was changed"),
    ):
        opened.write(Changes((), (WANTED,), (), ()))
    assert text_of(router, RESERVATIONS_FILE) == before


def test_a_change_by_somebody_else_in_between_is_not_overwritten(router: Namespace) -> None:
    def late(command: str, *, stdin: str | None = None) -> object:
        if stdin:
            router.run(f"echo '# Ann was here' >>{RESERVATIONS_FILE}")
        return router.run(command, stdin=stdin)

    with (
        open_router(contract(), shell=late) as opened,  # type: ignore[arg-type]
        pytest.raises(errors.HarnessError, match="was changed by somebody else meanwhile; nothing was changed"),
    ):
        opened.write(Changes((), (WANTED,), (), ()))
    assert text_of(router, RESERVATIONS_FILE).endswith("# Ann was here\n")


def test_what_stands_on_the_command_line_is_left_to_a_person(tmp_path: Path) -> None:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    given = "--dhcp-host=02:de:99:01:01:01,198.18.99.77,metrics-vm01"
    with (
        started_router(tmp_path, render(contract()), f"--conf-file={MAIN}", given, address=f"{ADDRESS}/24") as router,
        open_router(contract(), shell=router.run) as opened,
    ):
        found = compare(contract(), opened.observe(), now=time.time())
        with pytest.raises(errors.Unsafe, match=r"on its command line; nothing was changed\. Change it by hand"):
            opened.write(found.changes)


def big(count: int) -> Contract:
    """A site of that many machines."""
    plain = contract()
    numbers = range(count)
    reservations = [
        Reservation(Mac(f"02:de:99:01:{n // 256:02x}:{n % 256:02x}"), IPv4Address("198.18.20.10") + n, f"vm{n:03}")
        for n in numbers
    ]
    records = [Record("A", f"{one.name}.{DOMAIN}", str(one.address)) for one in reservations]
    return replace(
        plain,
        reservations=(*(one for one in plain.reservations if one.mac not in MACS.values()), *reservations),
        records=(*plain.records, *records),
    )


def test_two_hundred_reservations_take_a_second_and_one_reload(router: Namespace) -> None:
    site = big(200)
    settle(router, 1)
    with open_router(site, shell=router.run) as opened:
        began = time.monotonic()
        assert len(render(site)[RESERVATIONS_FILE].splitlines()) > 200
        found = compare(site, opened.observe(), now=time.time())
        took = time.monotonic() - began
        assert len(found.changes.add_reservations) == 200
        opened.write(found.changes)
        settle(router, 2)
        assert compare(site, opened.observe(), now=time.time()).changes_nothing
    assert took <= 1, f"render and check took {took:.2f} s"
    assert reloads(router) == 2, "one when it started, one for all the changes"
