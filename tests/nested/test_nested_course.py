"""An installation is followed by what it prints: how far it is, why it failed, and that it stands still."""

from __future__ import annotations

import pytest

from harness.nested.milestones import PATIENCE_S, PROGRESS, Course, follow, stands_still
from harness.nested.serial import clean

WHOLE = """\
Loading Linux ...
Starting Proxmox installation
EFI boot mode detected, mounting efivars filesystem
Installing additional hardware drivers
Preparing DHCP as potential source to get location of automatic-installation answer file
Attempting to get DHCP leases... Internet Systems Consortium DHCP Client 4.4.3-P1
DHCPACK of 10.0.2.15 from 10.0.2.2
done
Starting chrony for opportunistic time-sync... 
Starting a root shell on tty3.
Setting console loglevel to warn.
Caching device info from udev
Fetching answers for automatic installation
Starting automatic installation
progress    0.0 % - create partitions
progress    5.0 % - creating root filesystems
progress   30.9 % - extracting base system
progress   31.0 % - extracting base system
progress   99.0 % - make system bootable
progress  100.0 % - installation finished
Finished: 'ok' 
Installation done.
Gathering installed system data ...
Installation done, powering off...
Terminate all remaining processes
unmounting ISO
powering off - please remove the ISO boot media
""".splitlines()  # noqa: W291 - as it is printed


def after(*lines: str, now: float = 100.0) -> Course:
    return follow(Course(since=0.0), lines, now=now)


def test_follows_an_installation_to_its_end() -> None:
    course = after(*WHOLE)
    assert course.done
    assert course.failure is None
    assert course.share == 1.0
    assert course.milestone == "powering off - please remove the ISO boot media"


@pytest.mark.parametrize("count", range(len(WHOLE)))
def test_is_not_done_before_the_installer_says_so(count: int) -> None:
    course = after(*WHOLE[:count])
    assert course.done == any(line.startswith("Installation done, powering off") for line in WHOLE[:count])


def test_knows_how_far_it_is() -> None:
    course = after(*WHOLE[:17])
    assert course.milestone == "30.9 % extracting base system"
    assert course.share == pytest.approx(0.309)
    assert course.patience_s == PATIENCE_S[PROGRESS]


@pytest.mark.parametrize(
    ("lines", "kind", "says"),
    [
        (
            ["Starting automatic installation", "Error: country code 'xx' is not valid",
             "Auto-installation failed (exit-code 1) - see above for errors."],
            "refused", "Error: country code 'xx' is not valid | Auto-installation failed (exit-code 1)",
        ),
        (["Post-installation hook failed (exit-code 1) - see above for errors."], "refused", "Post-installation hook"),
        (["Aborting: Could not find any answer file!"], "refused", "Could not find any answer file"),
        (["Automatic installation selected but no config for fetching the answer file found!"], "refused", "no config"),
        (["Installation aborted - unable to continue (type exit or CTRL-D to reboot)"], "refused", "unable"),
        (["[    3.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"], "died",
         "its kernel panicked: Attempted to kill init!"),
        (["No bootable device."], "died", "it does not start"),
    ],
)  # fmt: skip
def test_names_a_failure(lines: list[str], kind: str, says: str) -> None:
    failure = after(*lines).failure
    assert failure is not None
    assert failure.kind == kind
    assert says in str(failure)


def test_the_first_failure_is_the_cause() -> None:
    failure = after("why", "Auto-installation failed (exit-code 1)", "Installation aborted", "Kernel panic").failure
    assert failure is not None
    assert failure.last_words == ("why",)


def test_tells_few_lines_without_the_kernels_clock() -> None:
    failure = after(*(f"[ {n}.5] line {n}" for n in range(9)), "Auto-installation failed").failure
    assert failure is not None
    assert failure.last_words == ("line 3", "line 4", "line 5", "line 6", "line 7", "line 8")


def test_stands_still_when_a_milestone_is_too_long_ago() -> None:
    course = after("Caching device info from udev", now=100.0)
    limit = PATIENCE_S["Caching device info from udev"]
    assert not stands_still(course, now=100.0 + limit, patience=1.0)
    assert stands_still(course, now=100.1 + limit, patience=1.0)
    assert not stands_still(course, now=100.1 + limit, patience=6.0)


def test_talking_is_no_way_forward() -> None:
    course = after("Caching device info from udev", now=100.0)
    assert follow(course, ["still at it", "Caching device info from udev"], now=500.0).since == 100.0
    step = follow(course, ["progress   31.0 % - extracting base system"], now=600.0)
    assert follow(step, ["progress   31.0 % - extracting base system"], now=700.0).since == 600.0
    assert follow(step, ["progress   31.1 % - extracting base system"], now=700.0).since == 700.0


def test_a_machine_that_says_nothing_stands_still_at_power_on() -> None:
    course = Course(since=0.0)
    assert stands_still(course, now=PATIENCE_S["power on"] + 1, patience=1.0)
    assert course.milestone == "power on"


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"plain", ["plain"]),
        (b"\x1b[?25l\x1b[m\x1b[H\x1b[J\x1b[1;1H\x1b[2;24HGNU GRUB  version 2.06\r", ["GNU GRUB  version 2.06"]),
        (b"\x1b[5;2H|\x1b[5;79H|", ["|", "|"]),
        (b"\x1b[0;1;31mred\x1b[0m and \x1b(Bplain\x0f", ["red and plain"]),
        (b"50 %\r75 %\r", ["50 %", "75 %"]),
        (b"\xff\xfe caf\xc3\xa9", ["\ufffd\ufffd caf\xe9"]),
        (b"  \x1b[K \r", []),
    ],
)
def test_sees_what_a_reader_would(raw: bytes, lines: list[str]) -> None:
    assert clean(raw) == lines
