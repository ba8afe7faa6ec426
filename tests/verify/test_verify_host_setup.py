"""The hypervisor's own words about its setup become values that compare with the declared ones."""

from __future__ import annotations

import pytest

from harness.errors import Invalid, Refused
from harness.verify.host_setup import HostSetup
from harness.verify.repositories import parse_repositories
from tests.verify.answers import answers

# As apt 2.6 prints them: translations repeat their repository, and a flat one has no component.
TARGETS = """\
deb http://artifacts.lab/debian/ bookworm main
deb http://artifacts.lab/debian/ bookworm main
deb http://artifacts.lab/debian/ bookworm contrib
deb-src http://artifacts.lab/debian/ bookworm main
deb http://198.18.99.1/packages/ ./ $(COMPONENT)"""
POLICY = """\
pve-manager:
  Installed: 8.4.1
  Candidate: 8.4.1
  Version table:
     8.4.5 500
        500 http://198.18.99.1/packages ./ Packages
 *** 8.4.1 {priority}
        500 http://198.18.99.1/packages ./ Packages
        100 /var/lib/dpkg/status"""
SOURCES = """\
^,*,198.18.99.1,8,6,17,2,-0.000002301,-0.000008428,0.000027769
^,?,ntp.lab,0,8,0,4294967295,0.000000000,0.000000000,0.000000000"""


def setup(*, rc: dict[str, int] | None = None, **said: str) -> HostSetup:
    return HostSetup(answers(said, rc))


def test_repositories_are_what_apt_understands() -> None:
    assert setup(repositories=TARGETS).repositories == {
        "deb http://artifacts.lab/debian bookworm main",
        "deb http://artifacts.lab/debian bookworm contrib",
        "deb-src http://artifacts.lab/debian bookworm main",
        "deb http://198.18.99.1/packages ./",
    }


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("deb [trusted=yes] http://198.18.99.1/packages ./", {"deb http://198.18.99.1/packages ./"}),
        ("deb http://198.18.99.1/packages/ ./", {"deb http://198.18.99.1/packages ./"}),
        (
            "deb [signed-by=/k.gpg arch=amd64] http://a/debian bookworm main contrib",
            {"deb http://a/debian bookworm main", "deb http://a/debian bookworm contrib"},
        ),
    ],
)
def test_a_declared_line_compares_with_what_apt_says(line: str, parsed: set[str]) -> None:
    assert parse_repositories([line]) == parsed


def test_a_line_that_is_none_is_told() -> None:
    with pytest.raises(Invalid, match=r"'rpm http://a' on|the declared line 'rpm http://a'"):
        parse_repositories(["rpm http://a"])


def test_sources_that_apt_cannot_read_are_no_answer() -> None:
    with pytest.raises(Refused, match="Malformed entry 1"):
        _ = setup(
            repositories="E: Malformed entry 1 in list file x.list (Suite)", rc={"repositories": 100}
        ).repositories


@pytest.mark.parametrize(
    ("priority", "pinned"), [("1001", {"8.4.1"}), ("1000", {"8.4.1"}), ("500", set()), ("-1", set())]
)
def test_only_a_high_pin_keeps_a_version(priority: str, pinned: set[str]) -> None:
    assert setup(pins=POLICY.format(priority=priority)).pinned_versions == pinned


def test_the_clock_follows_the_starred_server() -> None:
    assert setup(clock=SOURCES).clock_sources == {"198.18.99.1": True, "ntp.lab": False}
    assert setup(clock="").clock_sources == {}


def test_sshd_is_read_by_its_keys() -> None:
    said = "port 22\npermitrootlogin without-password\npasswordauthentication no\nauthorizedkeysfile .ssh/a .ssh/b"
    seen = setup(sshd=said).sshd
    assert (seen["permitrootlogin"], seen["authorizedkeysfile"]) == ("without-password", ".ssh/a .ssh/b")


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", False),
        ("options kvm-intel nested=1", True),
        ("options kvm_amd npt=1 nested=Y", True),
        ("options kvm-intel nested=0", False),
        ("options kvm-intel unnested=1", False),
    ],
)
def test_nested_is_asked_for_by_the_modules_option(options: str, asked: bool) -> None:
    assert setup(nested_options=options).nested_asked is asked


@pytest.mark.parametrize(("said", "runs"), [("Y", True), ("1", True), ("N", False), ("0", False), ("", False)])
def test_nested_runs_when_a_loaded_module_says_so(said: str, runs: bool) -> None:
    assert setup(nested_runs=said).nested_runs is runs
