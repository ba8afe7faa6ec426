"""The core router is brought to the inventory and proven, or stands as it stood before, and that is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.wait import wait_until
from tests.site.administrator import destroy, vmids
from tests.site.driver import ROOT, Site

pytestmark = pytest.mark.lab

VICTIM, MAC, ADDRESS = "metrics-vm01", "02:de:99:01:01:01", "198.18.99.30"
ROUTER = "core-rt01"
RESERVATIONS, NAMES, MAIN = (
    "/etc/mgmt-dnsmasq/hosts.dhcp",
    "/etc/mgmt-dnsmasq/hosts.dns",
    "/etc/dnsmasq.d/mgmt-lab.conf",
)
PUT_BACK = f"the state before is back on {ROUTER}"


def files(site: Site) -> str:
    """Everything dnsmasq is given, as one text."""
    return site.run(ROUTER, f"head -n -0 {RESERVATIONS} {NAMES} /etc/dnsmasq.d/*")


def starts(site: Site) -> int:
    """How often dnsmasq has read its reservations."""
    return int(site.run(ROUTER, f"journalctl -u dnsmasq --no-pager | grep -c 'read {RESERVATIONS}'"))


@pytest.fixture
def lacking(site: Site) -> Iterator[Site]:
    """The router without the victim's reservation; as it was afterwards."""
    whole = files(site)
    site.run(ROUTER, f"sed -i /{MAC}/d {RESERVATIONS} && systemctl reload dnsmasq")
    yield site
    mended = site.invoke("router.apply")
    assert mended.status == 0, mended.said
    assert sorted(files(site).splitlines()) == sorted(whole.splitlines())


@contextmanager
def deaf(site: Site) -> Iterator[None]:
    """dnsmasq runs and answers nothing."""
    site.run(ROUTER, "systemctl kill -s STOP dnsmasq")
    try:
        yield
    finally:
        site.run(ROUTER, "systemctl kill -s CONT dnsmasq")


@contextmanager
def begun_apply(site: Site) -> Iterator[subprocess.Popen[str]]:
    """A router.apply that has written and waits for a proof that cannot come."""
    with (
        deaf(site),
        subprocess.Popen(
            [ROOT / "invoke", "router.apply"],
            env={**os.environ, "MGMT_HARNESS_STATE": str(site.state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run,
    ):
        waited = wait_until(lambda: (True if MAC in files(site) else None, files(site)), deadline_s=20)
        assert waited.value, waited.last_seen
        yield run


def test_the_same_is_said_and_nothing_is_changed(site: Site) -> None:
    before = files(site), starts(site)
    checked = site.invoke("router.check")
    assert (checked.status, "core-rt01: no difference; 12 reservations" in checked.said) == (0, True), checked.said
    applied = site.invoke("router.apply")
    assert (applied.status, f"Nothing was changed on {ROUTER}" in applied.said) == (0, True), applied.said
    assert (files(site), starts(site)) == before


def test_what_is_rendered_is_what_the_lab_was_given(site: Site) -> None:
    rendered = site.invoke("router.render").out
    for path in (RESERVATIONS, NAMES, MAIN):
        assert f"# --- {path}\n{site.run(ROUTER, f'cat {path}')}" in rendered


def test_differences_are_mended_in_one_reload_and_proven(lacking: Site) -> None:
    checked = lacking.invoke("router.check", "--json")
    assert checked.status == 1
    (difference,) = json.loads(checked.out)["differences"]
    assert (difference["kind"], difference["host"], difference["seen"]) == ("missing", VICTIM, "nothing")
    assert difference["declared"].endswith(f"{VICTIM}.yml:6")
    before = starts(lacking)
    applied = lacking.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert f"+ reservation {MAC} -> {ADDRESS} ({VICTIM})" in applied.said
    assert "served: 12 DHCP offers on the hypervisor's bridge, 41 DNS answers" in applied.said
    assert starts(lacking) == before + 1
    assert lacking.invoke("router.check").status == 0


def test_a_wrong_alias_needs_a_restart_and_gets_it(site: Site) -> None:
    whole = files(site)
    wrong = f"sed -i 's/^cname=metrics.lab.deevnet.net,.*/cname=metrics.lab.deevnet.net,hv01.lab.deevnet.net/' {MAIN}"
    site.run(ROUTER, f"{wrong} && systemctl restart dnsmasq")
    applied = site.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert "- CNAME metrics.lab.deevnet.net -> hv01.lab.deevnet.net" in applied.said
    assert sorted(files(site).splitlines()) == sorted(whole.splitlines())


def test_somebody_elses_entry_in_the_way_is_named_and_left(lacking: Site) -> None:
    lacking.run(ROUTER, f"echo 02:de:99:7f:00:02,{ADDRESS},thief >>{RESERVATIONS} && systemctl reload dnsmasq")
    before = files(lacking), starts(lacking)
    try:
        applied = lacking.invoke("router.apply")
        after = files(lacking), starts(lacking)
    finally:
        lacking.run(ROUTER, f"sed -i /thief/d {RESERVATIONS} && systemctl reload dnsmasq")
    assert applied.status == 2
    assert f"02:de:99:7f:00:02 -> {ADDRESS} (thief), which the inventory does not declare" in applied.said
    assert "nothing was changed. Remove it on core-rt01 by hand, or declare it in the inventory." in applied.said
    assert after == before


def test_a_change_that_is_not_served_is_taken_back(lacking: Site) -> None:
    before = files(lacking)
    with deaf(lacking):
        applied = lacking.invoke("router.apply")
    assert applied.status == 2
    assert f"a DHCP offer to {MAC} ({VICTIM}): expected {ADDRESS}, seen nothing" in applied.said
    assert PUT_BACK in applied.said
    assert files(lacking) == before
    assert lacking.invoke("router.check").status == 1


def test_an_address_that_an_old_lease_holds_is_not_believed(lacking: Site) -> None:
    """The files are right and the server still gives the address to nobody: only a real offer tells."""
    leases = "/var/lib/misc/dnsmasq.leases"
    old = f"sed -i '/{MAC}/s/.*/4000000000 02:aa:bb:cc:dd:ee {ADDRESS} old */' {leases}"
    lacking.run(ROUTER, f"cp {leases} /root/leases && systemctl stop dnsmasq && {old} && systemctl start dnsmasq")
    before = files(lacking)
    try:
        applied = lacking.invoke("router.apply")
    finally:
        lacking.run(ROUTER, f"systemctl stop dnsmasq && cp /root/leases {leases} && systemctl start dnsmasq")
    assert applied.status == 2
    assert "seen nothing" in applied.said
    assert PUT_BACK in applied.said
    assert files(lacking) == before


def test_files_that_the_server_refuses_are_taken_back(lacking: Site) -> None:
    bad = "/etc/dnsmasq.d/other.conf"
    lacking.run(ROUTER, f"echo nonsense >{bad}")
    before = files(lacking)
    try:
        applied = lacking.invoke("router.apply")
        after = files(lacking)
    finally:
        lacking.run(ROUTER, f"rm {bad}")
    assert applied.status == 2
    assert "bad option at line 1" in applied.said
    assert "the files before are back" in applied.said
    assert PUT_BACK in applied.said
    assert after == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_it_gets_the_state_before_back(lacking: Site, how: signal.Signals) -> None:
    before = files(lacking)
    with begun_apply(lacking) as run:
        run.send_signal(how)
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGINT, said
    assert f"The state before is back on {ROUTER}" in said
    assert files(lacking) == before


def test_a_lost_terminal_puts_the_state_before_back(lacking: Site) -> None:
    """Nobody can be told any more, and the router is what counts."""
    before = files(lacking)
    with begun_apply(lacking) as run:
        assert run.stdout is not None
        run.stdout.close()
        run.send_signal(signal.SIGHUP)
        run.wait(timeout=60)
    assert files(lacking) == before
    assert "cut off" not in lacking.invoke("router.check").said


def test_a_killed_apply_that_is_whole_is_finished_by_the_next(lacking: Site) -> None:
    with begun_apply(lacking) as run:
        run.kill()
    checked = lacking.invoke("router.check")
    assert checked.status == 1
    assert "was cut off and is not proven" in checked.said
    applied = lacking.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert "was cut off after its write; it is whole, and proven now" in applied.said
    assert lacking.invoke("router.check").status == 0


def test_a_killed_apply_that_is_not_whole_is_put_back_by_the_next(lacking: Site) -> None:
    before = files(lacking)
    with begun_apply(lacking) as run:
        run.kill()
    lacking.run(ROUTER, f"sed -i /02:de:99:01:02:01/d {RESERVATIONS}")
    applied = lacking.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert f"was cut off; the state before it is back on {ROUTER}" in applied.said
    assert f"+ reservation {MAC} -> {ADDRESS}" in applied.said, "from there it went on"
    assert before.splitlines()[0] in files(lacking)


def test_provision_makes_nothing_that_the_router_would_give_no_address(site: Site) -> None:
    destroy(139)
    site.run(ROUTER, f"sed -i /02:de:99:03:0a:01/d {RESERVATIONS} && systemctl reload dnsmasq")
    refused = site.invoke("provision")
    assert refused.status == 2
    assert "reservation of oob-vm01 on core-rt01: expected 02:de:99:03:0a:01 -> 198.18.99.39" in refused.said
    assert "nothing was created" in refused.said
    assert 139 not in vmids()
    assert site.invoke("router.apply").status == 0
    assert site.invoke("provision").status == 0
    assert site.verify()[0] == 0


def test_a_router_that_is_away_could_not_be_looked_at(site: Site) -> None:
    site.run(ROUTER, "systemctl stop dnsmasq")
    try:
        checked = site.invoke("router.check")
    finally:
        site.run(ROUTER, "systemctl start dnsmasq")
    assert checked.status == 2
    assert "no dnsmasq is running there" in checked.said
