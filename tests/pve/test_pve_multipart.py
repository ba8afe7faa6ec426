"""A form with a file in it is sent in PVE's order, in pieces, and is as long as it says."""

from __future__ import annotations

from email import message_from_bytes
from pathlib import Path

import pytest

from harness.pve.multipart import Multipart

FIELDS = {"content": "import", "checksum-algorithm": "sha256", "checksum": "ab" * 32}


@pytest.mark.parametrize("piece", [1, 7, 8192, -1])
def test_fields_come_in_their_order_and_the_file_last(tmp_path: Path, piece: int) -> None:
    content = bytes(range(256)) * 33
    (tmp_path / "image").write_bytes(content)
    with (tmp_path / "image").open("rb") as file:
        form = Multipart(FIELDS, file, "debian-13.qcow2")
        length, sent = len(form), b""
        while taken := form.read(piece):
            sent += taken
    assert len(sent) == length
    message = message_from_bytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + sent)
    parts = message.get_payload()
    assert isinstance(parts, list)
    names = [part.get_param("name", header="content-disposition") for part in parts]  # type: ignore[union-attr]
    assert names == [*FIELDS, "filename"]
    assert [part.get_payload() for part in parts[:-1]] == list(FIELDS.values())  # type: ignore[union-attr]
    assert parts[-1].get_filename() == "debian-13.qcow2"  # type: ignore[union-attr]
    assert parts[-1].get_payload(decode=True) == content  # type: ignore[union-attr]
