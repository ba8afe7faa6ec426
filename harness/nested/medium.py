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


@dataclass(frozen=True)
class BootRecords:
    """What firmware finds on a medium, in xorriso's words; without how long the image is, which grows."""

    system_area: tuple[str, ...]
    el_torito: tuple[str, ...]
    uuid: str


def prepare(iso: Path, medium: Path, answer: str) -> None:
    """A copy of the ISO that installs by itself as `answer` says and writes to the serial port."""
    before = boot_records(iso)
    menu = with_console(_read_menu(iso, medium.parent), on=str(iso))
    files = {MODE: 'mode = "iso"\n', ANSWER: answer, MENU: menu}
    shutil.copyfile(iso, medium)
    medium.chmod(0o600)  # the password is in it
    _add(medium, files, before.uuid)
    after = boot_records(medium)
    if after != before:
        raise HarnessError(
            tried=TRIED,
            on=str(iso),
            happened=f"its boot records changed: {_difference(before, after)}",
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
    """Partition tables, boot code, boot catalogue, and the identifier by which boot code finds its medium."""
    report = ["-report_system_area", "plain", "-report_el_torito", "plain", "-report_system_area", "cmd"]
    lines = _xorriso("-indev", str(image), *report).splitlines()
    uuid = next((shlex.split(line)[2] for line in lines if line.startswith("-volume_date uuid ")), None)
    if uuid is None:
        raise Invalid(
            tried=TRIED,
            on=str(image),
            happened="xorriso finds no boot records in it",
            do="Use the ISO as its maker publishes it",
        )
    return BootRecords(
        system_area=tuple(line for line in lines if _is_about(line, "System area", "MBR", "GPT", "APM", "Partition")),
        el_torito=tuple(line for line in lines if _is_about(line, "El Torito", "Boot record")),
        uuid=uuid,
    )


def _is_about(line: str, *subjects: str) -> bool:
    return line.startswith(subjects)


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
    _xorriso("-stdio_sync", "off", "-dev", str(medium), "-overwrite", "on", *kept, *maps, "-commit")


def _xorriso(*arguments: str) -> str:
    # stdio: also a path that looks like a drive's is a file.
    return run(
        ["xorriso", "-no_rc", "-report_about", "WARNING", "-abort_on", "FAILURE", *arguments],
        tried=TRIED,
        on=arguments[arguments.index("-dev" if "-dev" in arguments else "-indev") + 1],
        do="Use the ISO as its maker publishes it, and look that there is room for a copy of it",
    )


def _difference(before: BootRecords, after: BootRecords) -> str:
    pairs = (set(getattr(before, part)) ^ set(getattr(after, part)) for part in ("system_area", "el_torito"))
    return "; ".join(sorted(line for lines in pairs for line in lines)) or f"{before.uuid} became {after.uuid}"
