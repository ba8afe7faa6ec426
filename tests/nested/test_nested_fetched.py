"""The ISO comes whole or not at all: cut off it goes on, changed it is refused, and what is wrong is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.contract import Iso
from harness.errors import Invalid, Missing, Unreachable
from harness.nested.fetching import obtain
from tests.nested.conftest import Lines
from tests.nested.serving import Served, serving

BODY = bytes(range(256)) * 4096 * 4  # 4 MiB
SHA = hashlib.sha256(BODY).hexdigest()


def iso_at(url: str, sha256: str = SHA) -> Iso:
    return Iso(None, url, sha256)


def image(sectors: int, there: int) -> bytes:
    """The beginning of an ISO that says how long it is."""
    descriptor = b"\x01CD001\x01".ljust(80, b"\0") + sectors.to_bytes(4, "little") + sectors.to_bytes(4, "big")
    return (bytes(16 * 2048) + descriptor).ljust(there, b"\0")[:there]


def test_comes_with_progress_and_is_kept(tmp_path: Path) -> None:
    lines = Lines()
    with serving(Served(BODY)) as served:
        file = obtain(iso_at(served.url), tmp_path, lines)
        assert file.read_bytes() == BODY
        assert obtain(iso_at(served.url), tmp_path, lines) == file
    assert served.asked == [0]
    assert lines.shares == {"ISO": 1.0, "SHA-256 of the ISO": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == [f"{SHA[:12]}-installer.iso"]


def test_goes_on_where_the_line_broke(tmp_path: Path) -> None:
    with serving(Served(BODY, breaks_after=1500000)) as served:
        assert obtain(iso_at(served.url), tmp_path, Lines()).read_bytes() == BODY
    assert len(served.asked) > 2
    assert served.asked == sorted(set(served.asked))


def test_goes_on_where_an_earlier_run_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / f"{SHA[:12]}-installer.iso.part").write_bytes(BODY[:1000])
    with serving(Served(BODY)) as served:
        assert obtain(iso_at(served.url), tmp_path, Lines()).read_bytes() == BODY
    assert served.asked == [1000]


def test_what_was_whole_already_is_only_checked(tmp_path: Path) -> None:
    (tmp_path / f"{SHA[:12]}-installer.iso.part").write_bytes(BODY)
    with serving(Served(BODY)) as served:
        assert obtain(iso_at(served.url), tmp_path, Lines()).read_bytes() == BODY
    assert served.asked == [len(BODY)]


def test_begins_anew_where_the_server_knows_no_ranges(tmp_path: Path) -> None:
    (tmp_path / f"{SHA[:12]}-installer.iso.part").write_bytes(b"x" * 1000)
    with serving(Served(BODY, knows_ranges=False)) as served:
        assert obtain(iso_at(served.url), tmp_path, Lines()).read_bytes() == BODY


def test_begins_anew_once_when_what_was_there_is_another_file(tmp_path: Path) -> None:
    (tmp_path / f"{SHA[:12]}-installer.iso.part").write_bytes(b"x" * 1000)
    lines = Lines()
    with serving(Served(BODY)) as served:
        assert obtain(iso_at(served.url), tmp_path, lines).read_bytes() == BODY
    assert served.asked == [1000, 0]
    assert any("does not belong to it" in line for line in lines.said)


def test_gives_up_when_nothing_more_comes_and_keeps_what_came(tmp_path: Path) -> None:
    with serving(Served(BODY, breaks_after=0)) as served:
        (tmp_path / f"{SHA[:12]}-installer.iso.part").write_bytes(BODY[: 1 << 20])
        with pytest.raises(Unreachable, match=r"1 MiB of it are kept in .*Run the same command again") as raised:
            obtain(iso_at(served.url), tmp_path, Lines())
    assert len(served.asked) == 5
    assert raised.value.exit_status == 2


def test_another_file_is_refused_and_not_kept(tmp_path: Path) -> None:
    with (
        serving(Served(BODY[:-1] + b"x")) as served,
        pytest.raises(Invalid, match=f"its SHA-256 is .*, declared is {SHA}"),
    ):
        obtain(iso_at(served.url), tmp_path, Lines())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_off_is_called_so(tmp_path: Path) -> None:
    file = tmp_path / "a.iso"
    file.write_bytes(image(sectors=1000, there=100000))
    with pytest.raises(Invalid, match="it is cut off: 100000 of 2048000 bytes are there"):
        obtain(Iso(file, None, SHA), tmp_path, Lines())
    file.write_bytes(b"<html>404</html>")
    with pytest.raises(Invalid, match="it is no ISO, or cut off at its very beginning: 16 bytes"):
        obtain(Iso(file, None, SHA), tmp_path, Lines())
    file.write_bytes(image(sectors=50, there=102400))
    with pytest.raises(Invalid, match=r"its SHA-256 is [0-9a-f]{64}, declared is"):
        obtain(Iso(file, None, SHA), tmp_path, Lines())
    assert file.exists()


def test_says_what_the_server_says(tmp_path: Path) -> None:
    with serving(Served(BODY, status=404)) as served, pytest.raises(Unreachable, match="answered 404 Not Found"):
        obtain(iso_at(served.url), tmp_path, Lines())
    with pytest.raises(Missing, match="there is no such file"):
        obtain(Iso(tmp_path / "none.iso", None, SHA), tmp_path, Lines())
