"""An image is looked at here before it travels: whole, of its kind, and the one that is declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Image
from harness.errors import HarnessError, Invalid, Missing
from harness.templates.image_file import check_file, with_checksum
from tests.sites import HERE
from tests.templates.images import image_of, qcow2


def test_a_whole_image_passes(tmp_path: Path) -> None:
    file = tmp_path / "a.qcow2"
    file.write_bytes(qcow2())
    assert check_file(image_of(file), HERE).size_bytes == len(qcow2())


def refused(image: Image) -> HarnessError:
    with pytest.raises((Invalid, Missing)) as caught:
        check_file(image, HERE)
    return caught.value


def test_a_wrong_checksum_names_both(tmp_path: Path) -> None:
    file = tmp_path / "a.qcow2"
    file.write_bytes(qcow2())
    error = refused(image_of(file, checksum="0" * 64))
    assert sha256(qcow2()).hexdigest() in error.happened
    assert f"declared is {'0' * 64}" in error.happened
    assert error.happened.endswith("nothing was changed")
    assert "it may be cut short" in error.do


@pytest.mark.parametrize("kind", [sha256, sha512])
def test_a_checksum_may_stand_in_a_file(tmp_path: Path, kind: Callable[[bytes], Any]) -> None:
    file, told = tmp_path / "a.qcow2", tmp_path / "a.qcow2.sum"
    file.write_bytes(qcow2())
    told.write_text(f"{kind(qcow2()).hexdigest().upper()}  a.qcow2\n")
    read = with_checksum(replace(image_of(file, checksum=""), checksum_file=told))
    assert (read.algorithm, read.checksum) == (kind(b"").name, kind(qcow2()).hexdigest())
    assert check_file(read, HERE).path == file


@pytest.mark.parametrize("text", [None, "", "\n", "abc  a.qcow2\n", f"{'g' * 64}  a.qcow2\n"])
def test_a_file_without_a_checksum_is_named(tmp_path: Path, text: str | None) -> None:
    told = tmp_path / "a.sum"
    if text is not None:
        told.write_text(text)
    with pytest.raises((Invalid, Missing), match=r"a\.sum: (it begins with no checksum|No such file)") as caught:
        with_checksum(replace(image_of(checksum=""), checksum_file=told))
    assert "sha256sum" in caught.value.do


def test_a_file_cut_short_is_told_by_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "a.raw"
    file.write_bytes(b"x" * 1000)
    whole = image_of(file)
    file.write_bytes(b"x" * 400)
    assert "(400 bytes)" in refused(whole).happened


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.qcow2", b"", "it is empty"),
        ("a.qcow2", b"no image at all" * 10, "it is no qcow2 image"),
        ("a.raw", qcow2(), "it is a qcow2 image, though its name ends in .raw"),
        ("a.qcow2", qcow2()[:40], "it is cut short: 40 bytes are less than its header"),
        ("a.qcow2", qcow2()[: 3 << 16], "it is cut short: its tables end at byte"),
        ("a.qcow2", qcow2(backing=True), "it needs another image as its backing file"),
        ("a.qcow2", qcow2(virtual=0), "the disk in it has no size"),
    ],
)
def test_a_broken_image_is_refused_whatever_its_checksum(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert words in refused(image_of(file)).happened


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "a.qcow2"
    file.write_bytes(qcow2())
    image = image_of(file)
    file.unlink()
    error = refused(image)
    assert (error.happened, str(HERE) in error.do) == ("there is no such file", True)
