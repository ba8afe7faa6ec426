"""Which router the running lab has is asked of what the lab wrote down, without loading the lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import embedded
from harness.errors import Invalid


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (json.dumps({"site": "lab", "router_kind": "kea"}), "kea"),
        (json.dumps({"site": "dvnt", "router_kind": "kea"}), None),
        (json.dumps({"site": "lab", "router_kind": "of another version"}), None),
        ('{"site": "la', None),
        (None, None),
    ],
    ids=["this site's", "another site's", "an unknown kind", "half written", "no lab"],
)
def test_only_this_sites_lab_says_its_router(
    text: str | None, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "status.json"
    monkeypatch.setattr(embedded, "RECORD", record)
    if text is not None:
        record.write_text(text)
    assert embedded.running_router("lab") == kind


def test_a_kind_has_variables_unless_the_inventory_describes_it() -> None:
    assert embedded.router_variables("dnsmasq") is None
    assert {embedded.router_variables(kind) for kind in ("kea", "vyos")} == {
        file for file in embedded.VARIABLES.iterdir() if file.suffix == ".yml"
    }


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="Choose one of dnsmasq, kea, vyos"):
        embedded.router_variables("openwrt")
