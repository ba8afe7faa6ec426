"""Keep the disks of namespace guests as folders of layers: make, copy, save to one file, and make again from it.

A disk is `upper` over the layers that `layers` names: those of the image, and those of the guest it was cloned from.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .runtime import RuntimeFailed

_FILE_CHANGED = 1  # tar's exit status when a file changed while it was read, which a running guest does
# Owners, device nodes and extended attributes: overlayfs keeps deletions in the last two.
_FAITHFUL = ("--numeric-owner", "--xattrs", "--xattrs-include=*")
_FORMAT = "--format=posix"
_BASE = "layers"


class GuestDisks:
    """Folders `<vmid>` below `directory`; `image` names the layers every system stands on."""

    def __init__(self, directory: Path, image: Path) -> None:
        self._directory, self._image = directory, image

    def folder(self, vmid: int) -> Path:
        return self._directory / str(vmid)

    def create(self, vmid: int, source: int | None, linked: bool) -> None:
        """Nothing of its own over the image's layers, over the source's disk, or over a copy of it."""
        fresh = self._begin(vmid)
        layers = (self._image if source is None else self.folder(source)).joinpath("layers").read_text()
        if source is not None and not linked:
            _copy(self.folder(source) / "upper", fresh / "upper")
        else:
            (fresh / "upper").mkdir()
        if source is not None and linked:
            layers = f"{self.folder(source) / 'upper'}:{layers}"
        self._finish(vmid, fresh, layers)

    def save(self, vmid: int, target: Path) -> None:
        """Everything of the disk but the image's own layers, in one file."""
        folder = self.folder(vmid)
        if not folder.exists():
            raise RuntimeFailed(f"VM {vmid} has no disk")
        layers = (folder / "layers").read_text().strip().split(":")
        own = [folder / "upper", *(Path(layer) for layer in layers if self._is_own(layer))]
        note = target.with_name(f"{target.name}.layers")
        note.write_text(":".join(layer for layer in layers if not self._is_own(layer)))
        renamed = f"--transform=s,.*,{_BASE},"
        _tar(["--create", _FORMAT, "--file", str(target), renamed, "--directory", str(note.parent), note.name])
        note.unlink()
        for number, layer in enumerate(own):
            renamed = f"--transform=s,^\\.,{number},S"
            _tar(["--append", _FORMAT, "--file", str(target), *_FAITHFUL, renamed, "--directory", str(layer), "."])

    def load(self, vmid: int, source: Path) -> None:
        """The disk as it was when it was saved, standing on its own."""
        fresh = self._begin(vmid)
        saved = fresh / "saved"
        saved.mkdir()
        _tar(["--extract", "--file", str(source), "--preserve-permissions", *_FAITHFUL, "--directory", str(saved)])
        upper, *below = sorted((path for path in saved.iterdir() if path.is_dir()), key=lambda path: int(path.name))
        base = (saved / _BASE).read_text()
        upper.rename(fresh / "upper")
        for path in below:
            path.rename(fresh / f"below{path.name}")
        own = [str(self.folder(vmid) / f"below{path.name}") for path in below]
        shutil.rmtree(saved)
        self._finish(vmid, fresh, ":".join([*own, base]))

    def fill(self, vmid: int, content: Path) -> None:
        """A system from a file tree in a tar file, over nothing but the lowest layer of the image."""
        fresh = self._begin(vmid)
        (fresh / "upper").mkdir()
        target = str(fresh / "upper")
        _tar(["--extract", "--file", str(content), "--preserve-permissions", *_FAITHFUL, "--directory", target])
        self._finish(vmid, fresh, (self._image / "layers").read_text().strip().split(":")[-1])

    def destroy(self, vmid: int) -> None:
        """Everything the guest ever was, and what a killed clone left; what clones still stand on is kept for them."""
        for folder in (self.folder(vmid), self._unfinished(vmid)):
            if folder.exists() and (hanging := self._hanging_on(folder)):
                self._keep(folder, hanging)
            elif folder.exists():
                shutil.rmtree(folder)
        for kept in self._directory.glob("kept-*"):
            if not self._hanging_on(kept):
                shutil.rmtree(kept)

    def _begin(self, vmid: int) -> Path:
        """An unfinished folder; the disk that was there is gone from now on."""
        self.destroy(vmid)
        fresh = self._unfinished(vmid)
        for name in ("work", "root"):
            (fresh / name).mkdir(parents=True)
        return fresh

    def _finish(self, vmid: int, fresh: Path, layers: str) -> None:
        (fresh / "layers").write_text(layers)
        (fresh / "mounts").write_text("")
        (fresh / "nics").write_text("")
        fresh.rename(self.folder(vmid))

    def _unfinished(self, vmid: int) -> Path:
        return self._directory / f"{vmid}.new"

    def _is_own(self, layer: str) -> bool:
        return Path(layer).is_relative_to(self._directory)

    def _hanging_on(self, folder: Path) -> list[Path]:
        """The `layers` files of other disks that name something in `folder`: a thin pool's snapshots live on alone."""
        others = (path for path in self._directory.glob("*/layers") if path.parent != folder)
        return [path for path in others if f"{folder}/" in path.read_text()]

    def _keep(self, folder: Path, hanging: Sequence[Path]) -> None:
        number = len(list(self._directory.glob("kept-*")))
        while (kept := self._directory / f"kept-{folder.name}-{number}").exists():
            number += 1
        folder.rename(kept)
        for layers in hanging:
            layers.write_text(layers.read_text().replace(f"{folder}/", f"{kept}/"))


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--archive", "--reflink=auto", str(source), str(target)], check=True, capture_output=True)


def _tar(arguments: Sequence[str]) -> None:
    done = subprocess.run(["tar", *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in {0, _FILE_CHANGED}:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RuntimeFailed(f"tar: {said[0].removeprefix('tar: ')}")
