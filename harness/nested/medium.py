"""Prepare the installer's medium for an unattended installation, with xorriso alone; what boots it stays as it was."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, Invalid
from harness.nested.programs import run

TRIED = "prepare the installer's medium"
CAPABLE = "/auto-installer-capable"
MODE = "/auto-installer-mode.toml"
ANSWER = "/answer.toml"
MENU = "/boot/grub/grub.cfg"
CONSOLE = "console=ttyS0,115200"

# The menu's entry for automated installations is the one whose kernel gets this word.
_AUTOMATED = re.compile(r"^(?P<line>[ \t]*linux\S*[ \t].*\bproxmox-start-auto-installer\b.*?)[ \t]*$", re.MULTILINE)


SECTOR = 2048
SYSTEM_AREA = 16 * SECTOR
_MODIFIED = slice(830, 846)  # of the volume descriptor: its date, which is what boot code looks for
# What the report says of the image's length, which grows, and of the catalogue's place, which moves behind it.
_OF_LENGTH = ("System area options:", "System area summary:", "ISO image size/512", "El Torito catalog ")


@dataclass(frozen=True)
class BootRecords:
    """What firmware finds on a medium: boot code and partition tables, the catalogue, and both in xorriso's words."""

    system_area: bytes
    catalogue: bytes
    report: tuple[str, ...]
    uuid: str


def prepare(iso: Path, medium: Path, answer: str) -> None:
    """A copy of the ISO that installs by itself as `answer` says and writes to the serial port."""
    menu = with_console(_read_menu(iso, medium.parent), on=str(iso))
    before = boot_records(iso)
    files = {MODE: 'mode = "iso"\n', ANSWER: answer, MENU: menu}
    shutil.copyfile(iso, medium)
    medium.chmod(0o600)  # the password is in it
    _add(medium, files, before.uuid)
    after = boot_records(medium)
    if after != before:
        raise HarnessError(
            tried=TRIED,
            on=str(iso),
            happened=f"its boot records would change: {_difference(before, after)}",
            do="Report it with the version of xorriso; the medium was not used",
        )


def with_console(menu: str, *, on: str) -> str:
    """The menu with the serial port as the console of the automated entry; the installed system inherits it."""
    changed, count = _AUTOMATED.subn(lambda found: _spoken(found["line"]), menu)
    if not count:
        raise Invalid(
            tried=TRIED,
            on=on,
            happened=f"its menu ({MENU}) has no entry for automated installations",
            do="Use the ISO of Proxmox VE 8.2 or later",
        )
    return changed


def _spoken(line: str) -> str:
    return line if CONSOLE in line else f"{line} {CONSOLE}"


def boot_records(image: Path) -> BootRecords:
    """Those of an image, with the identifier by which boot code finds its medium."""
    said = _xorriso("-indev", str(image), "-report_el_torito", "plain", "-report_system_area", "plain").splitlines()
    catalogue = next((line.partition(":")[2].split() for line in said if line.startswith("El Torito catalog ")), None)
    if catalogue is None:
        raise Invalid(
            tried=TRIED,
            on=str(image),
            happened="xorriso finds no boot records in it",
            do="Use the ISO as its maker publishes it",
        )
    start, sectors = (int(number) * SECTOR for number in catalogue)
    with image.open("rb") as file:
        system_area, descriptor = file.read(SYSTEM_AREA), file.read(SECTOR)
        file.seek(start)
        kept = file.read(sectors)
    return BootRecords(
        system_area=system_area,
        catalogue=kept,
        report=tuple(line for line in said if not line.startswith(_OF_LENGTH)),
        uuid=descriptor[_MODIFIED].decode("ascii", "replace"),
    )


def _read_menu(iso: Path, folder: Path) -> str:
    """Refuses what cannot install by itself."""
    listed = _xorriso("-indev", str(iso), "-find", "/", "-maxdepth", "1", "-exec", "echo", "--")
    if shlex.quote(CAPABLE) not in listed.splitlines() and f"'{CAPABLE}'" not in listed.splitlines():
        raise Invalid(
            tried=TRIED,
            on=str(iso),
            happened=f"it holds no {CAPABLE}, the sign that it can install by itself",
            do="Use the ISO of Proxmox VE 8.2 or later",
        )
    menu = folder / "grub.cfg"
    _xorriso("-osirrox", "on", "-indev", str(iso), "-extract", MENU, str(menu))
    return menu.read_text()


def _add(medium: Path, files: dict[str, str], uuid: str) -> None:
    maps: list[str] = []
    for number, (name, text) in enumerate(files.items()):
        source = medium.parent / f"medium-{number}"
        source.touch(mode=0o600)
        source.write_text(text)
        maps += ["-map", str(source), name, "-chmod", "0444", name, "--"]
    kept = ["-boot_image", "any", "keep", "-volume_date", "uuid", uuid]
    _xorriso("-stdio_sync", "off", *kept, "-dev", str(medium), "-overwrite", "on", *maps, "-commit")


def _xorriso(*arguments: str) -> str:
    # stdio: also a path that looks like a drive's is a file.
    return run(
        [
            "xorriso",
            "-no_rc",
            "-report_about",
            "WARNING",
            "-abort_on",
            "FAILURE",
            "-return_with",
            "FAILURE",
            "32",
            *arguments,
        ],
        tried=TRIED,
        on=arguments[arguments.index("-dev" if "-dev" in arguments else "-indev") + 1],
        do="Use the ISO as its maker publishes it, and look that there is room for a copy of it",
    )


def _difference(before: BootRecords, after: BootRecords) -> str:
    lines = sorted(set(before.report) ^ set(after.report))
    return "; ".join(lines) or f"the bytes of boot code, or of the catalogue, or {before.uuid} became {after.uuid}"
