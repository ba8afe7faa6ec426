"""The prepared medium says what the installer has to do, and what boots it is what its maker put there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from harness.errors import Invalid
from harness.nested.medium import prepare, with_console
from tests.nested.conftest import Standin

ANSWER = '[global]\nkeyboard = "de"\n'
SYSTEM_AREA = 32768


def xorriso(*arguments: str) -> str:
    return subprocess.run(["xorriso", *arguments], check=True, capture_output=True, text=True).stdout


def content(iso: Path, name: str, folder: Path) -> str:
    out = folder / "content"
    out.unlink(missing_ok=True)
    xorriso("-osirrox", "on", "-indev", str(iso), "-extract", name, str(out))
    return out.read_text()


def boot_report(iso: Path) -> list[str]:
    """xorriso's own words, but for the length of the image and the place of the catalogue behind it."""
    of_length = ("System area options", "System area summary", "ISO image size/512", "El Torito catalog ")
    said = xorriso("-indev", str(iso), "-report_system_area", "plain", "-report_el_torito", "plain")
    return [line for line in said.splitlines() if not line.startswith(of_length)]


def volume_uuid(iso: Path) -> str:
    said = xorriso("-indev", str(iso), "-report_system_area", "cmd")
    return next(line for line in said.splitlines() if line.startswith("-volume_date uuid"))


@pytest.fixture(scope="module")
def prepared(standin: Standin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("prepared") / "installer.iso"
    prepare(standin.iso(), made, ANSWER)
    return made


def test_holds_mode_answer_and_a_console(prepared: Path, tmp_path: Path) -> None:
    assert tomllib.loads(content(prepared, "/auto-installer-mode.toml", tmp_path)) == {"mode": "iso"}
    assert content(prepared, "/answer.toml", tmp_path) == ANSWER
    menu = content(prepared, "/boot/grub/grub.cfg", tmp_path)
    spoken = [line for line in menu.splitlines() if "console=ttyS0,115200" in line]
    assert [line.split()[0] for line in spoken] == ["linux"]
    assert "proxmox-start-auto-installer console=ttyS0,115200" in spoken[0]


def test_boots_as_before(standin: Standin, prepared: Path) -> None:
    before, after = boot_report(standin.iso()), boot_report(prepared)
    assert before == after
    assert any("El Torito boot img :   1  BIOS  y" in line for line in after)
    assert any("El Torito boot img :   2  UEFI  y" in line for line in after)
    assert volume_uuid(prepared) == volume_uuid(standin.iso())
    with standin.iso().open("rb") as one, prepared.open("rb") as other:
        assert one.read(SYSTEM_AREA) == other.read(SYSTEM_AREA)


def test_is_for_its_owner_alone_and_the_iso_untouched(standin: Standin, prepared: Path) -> None:
    assert prepared.stat().st_mode & 0o077 == 0
    listed = xorriso("-indev", str(standin.iso()), "-find", "/", "-maxdepth", "1", "-exec", "echo")
    assert "/answer.toml" not in listed


def test_an_iso_as_large_as_the_real_one_takes_seconds(standin: Standin, tmp_path: Path) -> None:
    large = tmp_path / "large.iso"
    with (tmp_path / "padding").open("wb") as padding:
        padding.truncate(1400 << 20)
    command = ["xorriso", "-stdio_sync", "off", "-boot_image", "any", "keep", "-dev", str(large)]
    subprocess.run(["cp", "--reflink=auto", str(standin.iso()), str(large)], check=True)
    subprocess.run(
        [*command, "-map", str(tmp_path / "padding"), "/padding", "-commit"], check=True, capture_output=True
    )
    assert large.stat().st_size > 1450 << 20
    began, cpu = time.monotonic(), time.process_time() + sum(os.times()[2:4])
    prepare(large, tmp_path / "installer.iso", ANSWER)
    assert time.process_time() + sum(os.times()[2:4]) - cpu < 10
    assert time.monotonic() - began < 15 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert boot_report(tmp_path / "installer.iso") == boot_report(large)


def test_what_cannot_install_by_itself_is_refused(standin: Standin, tmp_path: Path) -> None:
    plain = tmp_path / "plain.iso"
    shutil.copyfile(standin.iso(), plain)
    keep = ["-stdio_sync", "off", "-boot_image", "any", "keep"]
    xorriso(*keep, "-dev", str(plain), "-rm", "/auto-installer-capable", "--", "-commit")
    with pytest.raises(Invalid, match="it holds no /auto-installer-capable"):
        prepare(plain, tmp_path / "installer.iso", ANSWER)


def test_a_file_that_is_no_iso_is_refused(standin: Standin, tmp_path: Path) -> None:
    (tmp_path / "none.iso").write_bytes(bytes(1 << 20))
    with pytest.raises(Invalid, match="it holds no /auto-installer-capable"):
        prepare(tmp_path / "none.iso", tmp_path / "installer.iso", ANSWER)
    assert not (tmp_path / "installer.iso").exists()


def test_a_menu_without_the_entry_is_refused() -> None:
    with pytest.raises(Invalid, match="no entry for automated installations"):
        with_console("menuentry 'Install' {\n linux /boot/linux26 quiet\n}\n", on="a.iso")


def test_every_automated_entry_gets_its_console_once() -> None:
    menu = (
        "\tlinux\t/boot/linux26 ro proxmox-start-auto-installer\n  linuxefi /k proxmox-start-auto-installer quiet  \n"
    )
    once = with_console(menu, on="a.iso")
    assert once.splitlines() == [
        "\tlinux\t/boot/linux26 ro proxmox-start-auto-installer console=ttyS0,115200",
        "  linuxefi /k proxmox-start-auto-installer quiet console=ttyS0,115200",
    ]
    assert with_console(once, on="a.iso") == once
