"""One run of Ansible is about one site, and which one is never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.ansible.choosing import choose_site
from harness.errors import Invalid


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    for name in ("dvnt", "dvntm"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hosts.yml").write_text("all: {}\n")
    (tmp_path / "extra.yml").write_text("all: {}\n")
    return tmp_path


@pytest.mark.parametrize(
    "given", [["dvntm"], ["dvntm/hosts.yml"], ["dvntm", "extra.yml"], ["dvntm", "dvntm/hosts.yml"]]
)
def test_the_only_site_among_the_inventories(sites: Path, given: list[str]) -> None:
    assert choose_site(None, [str(sites / one) for one in given]) == sites / "dvntm"


def test_what_is_said_wins(sites: Path) -> None:
    assert choose_site(str(sites / "dvnt"), [str(sites / "dvntm")]) == sites / "dvnt"


def test_two_sites_are_refused(sites: Path) -> None:
    with pytest.raises(Invalid, match=r"dvnt, .*dvntm are several sites.*Give one site with -i"):
        choose_site(None, [str(sites / "dvnt"), str(sites / "dvntm")])


@pytest.mark.parametrize("given", [[], ["extra.yml"], ["."], ["localhost,"]])
def test_no_site_is_refused(sites: Path, given: list[str]) -> None:
    with pytest.raises(Invalid, match="none of these inventories is a site's folder"):
        choose_site(None, [str(sites / one) for one in given])
