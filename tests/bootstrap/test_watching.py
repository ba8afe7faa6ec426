"""The search for secrets finds one wherever it stands, and tells its name alone."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.bootstrap.watching import files_below, told, too_open, watching

SECRET = {"a token": "0f3c1a7e-secret-value-5d2b"}


@pytest.mark.parametrize("before", ["", "x", "xy", "PVEAPIToken=verify@pve!harness="])
def test_a_secret_is_found_plain_and_in_base64(before: str) -> None:
    plain = f"{before}{SECRET['a token']} and more"
    assert told(SECRET, [plain]) == ["a token"]
    assert told(SECRET, [base64.b64encode(plain.encode()).decode()]) == ["a token"]
    assert told(SECRET, ["nothing of it", base64.b64encode(b"nothing").decode()]) == []


def test_a_file_that_others_may_read_is_named_with_its_mode(tmp_path: Path) -> None:
    for name, mode in (("wide", 0o640), ("narrow", 0o600), ("narrower", 0o400)):
        (tmp_path / name).write_text(SECRET["a token"])
        (tmp_path / name).chmod(mode)
    assert too_open(SECRET, files_below([tmp_path])) == [f"{tmp_path / 'wide'} (640): a token"]


def test_a_pipe_is_left_to_its_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "answer")
    (tmp_path / "left").mkdir()
    (tmp_path / "left/file").write_text("x")
    assert list(files_below([tmp_path], frozenset({"/left"}))) == []


def test_what_passes_is_seen(tmp_path: Path) -> None:
    with watching(lambda: [tmp_path]) as seen:
        (tmp_path / "passing").write_text("here")
        while not seen.files:
            assert tmp_path.exists()
        (tmp_path / "passing").unlink()
    assert {content for _, _, content in seen.files} <= {b"here", b""}
    ours = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode()
    assert ours in seen.command_lines
    assert any("PATH=" in one for one in seen.environments)
