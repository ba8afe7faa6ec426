"""Have an image arrive in the hypervisor's import content, whole and checked, and find room for what it becomes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.contract import Image, Template
from harness.errors import HarnessError, Missing, Refused, Unsafe
from harness.observed import ObservedStorage
from harness.plan.room import metadata_findings
from harness.pve import images, read
from harness.pve.images import ImageVolume
from harness.pve.upid import Upid
from harness.templates.bench import Bench
from harness.templates.image_file import ImageFile, check_file
from harness.templates.sending import carry_out

GIB = 1 << 30
LEAST_S = 300.0
SLOWEST_BYTES_PER_S = 2 << 20


@dataclass(frozen=True)
class Cargo:
    """An image on its way: `file` is None when the hypervisor fetches it."""

    image: Image
    file: ImageFile | None
    name: str
    size_bytes: int | None


def bring_image(bench: Bench, template: Template, image: Image) -> ImageVolume:
    """Its name holds its checksum: what is there under it has been checked by PVE when it came."""
    file = check_file(image, template.declared) if image.file else None
    check_privileges(bench, template, image)
    size = file.size_bytes if file else _remote_size(bench, template, image)
    cargo = Cargo(image, file, name_of(template, image), size)
    there = images.find(bench.reader, bench.node, image.storage, cargo.name)
    if file is None or there != size:
        _refuse_full(bench, cargo)
        _arrive(bench, template, cargo)
    return images.look_into(bench.reader, bench.node, image.storage, cargo.name)


def name_of(template: Template, image: Image) -> str:
    """Only what PVE leaves as it is in a file's name."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", template.name)
    return f"{plain}-{image.checksum[:12]}.{image.format}"


def _arrive(bench: Bench, template: Template, cargo: Cargo) -> None:
    image, size, kind = cargo.image, cargo.size_bytes, "imgcopy" if cargo.file else "download"
    on = f"{image.source} to {image.storage} on {bench.contract.hypervisor.name}"
    said = f" ({_said(size)})" if size else ""
    bench.say(f"{'Uploading' if cargo.file else 'Having the hypervisor fetch'} {on}{said}")
    bench.journal.write(f"template_{template.key}", template.vmid or 0, kind, file=cargo.name)
    carry_out(
        bench,
        lambda: _send(bench, cargo),
        tried=f"{'upload' if cargo.file else 'fetch'} the image",
        on=on,
        running=lambda: images.running(bench.writer, bench.node, kind),
        is_done=lambda: images.find(bench.reader, bench.node, image.storage, cargo.name) is not None,
        deadline_s=max(LEAST_S, (size or 50 * GIB) / SLOWEST_BYTES_PER_S),
    )


def _send(bench: Bench, cargo: Cargo) -> Upid:
    image = cargo.image
    checked = {"algorithm": image.algorithm, "checksum": image.checksum}
    if cargo.file is not None:
        return images.upload(bench.writer, bench.node, image.storage, cargo.file.path, cargo.name, **checked)
    return images.download(bench.writer, bench.node, image.storage, image.url or "", cargo.name, **checked)


def _remote_size(bench: Bench, template: Template, image: Image) -> int | None:
    """What the hypervisor itself finds at the address; a server that is not there is told before anything begins."""
    try:
        return images.size_at(bench.writer, bench.node, image.url or "")
    except Refused:
        raise
    except HarnessError as error:
        raise Missing(
            tried="fetch the template's image",
            on=image.source,
            happened=f"{bench.contract.hypervisor.name} does not get it: {error.happened}; nothing was changed",
            do=f"Put it on the artifact server, or correct image.url in {template.declared}",
        ) from error


def check_privileges(bench: Bench, template: Template, image: Image) -> None:
    """Everything the writing token lacks, before the first change."""
    permissions = read.read_permissions(bench.writer)
    needs = [(f"/storage/{image.storage}", "Datastore.AllocateTemplate")]
    needs += [(f"/storage/{template.storage}", "Datastore.AllocateSpace")]
    needs += [(f"/sdn/zones/localnetwork/{image.bridge}", "SDN.Use")]
    if image.url:
        needs.append((f"/nodes/{bench.node}", "Sys.AccessNetwork"))
    missing = [(path, privilege) for path, privilege in needs if not permissions.has(path, privilege)]
    if missing:
        listed = "; ".join(f"{privilege} on {path}" for path, privilege in missing)
        raise Refused(
            tried=f"import a template as {bench.writer.who}",
            on=bench.writer.url,
            happened=f"the token lacks {listed}; nothing was changed",
            do="; ".join(dict.fromkeys(permissions.advise(path, privilege) for path, privilege in missing)),
        )


def _refuse_full(bench: Bench, cargo: Cargo) -> None:
    image, size = cargo.image, cargo.size_bytes
    storage = _storage(bench, image.storage)
    available = storage.available_bytes
    if "import" not in storage.content:
        raise Unsafe(
            tried="bring the image",
            on=image.storage,
            happened="the storage does not take images to import; nothing was changed",
            do=f"Run {bench.contract.invoke('bootstrap')}: it sets the content types",
        )
    if size is None or available is None:
        return
    if size > available:
        raise _no_room(image.storage, available, f"the image needs {_said(size)}")
    if cargo.file and 2 * size > available:
        bench.say(
            f"note: an upload is first kept below /var/tmp; where that is on the same disk as {image.storage}, "
            f"{_said(available)} will not do for twice {_said(size)}"
        )


def refuse_without_room(bench: Bench, template: Template, volume: ImageVolume) -> None:
    """What the image holds must fit now; what its disk may grow to is only said."""
    storage = _storage(bench, template.storage)
    available = storage.available_bytes
    if available is None:
        return
    if volume.used_bytes > available:
        raise _no_room(storage.name, available, f"the image holds {_said(volume.used_bytes)}")
    if volume.size_bytes > available:
        bench.say(
            f"note: the disk is {_said(volume.size_bytes)}, {storage.name} has {_said(available)} free: "
            "it fits as long as it stays thin"
        )
    if storage.thin_pool is not None:
        refused, warned = metadata_findings(storage.name, storage.thin_pool, volume.used_bytes)
        for warning in warned:
            bench.say(f"note: {warning}")
        for refusal in refused:
            raise Unsafe(tried="import a template", on=storage.name, happened=refusal.reason, do=refusal.do)


def _storage(bench: Bench, name: str) -> ObservedStorage:
    storages = read.read_visible_storages(bench.reader, bench.node)
    found = next((storage for storage in storages if storage.name == name), None)
    if found is None or not found.enabled:
        raise Unsafe(
            tried="import a template",
            on=f"the storage {name}",
            happened=f"it is {'disabled' if found else 'not there'}; nothing was changed",
            do=f"Run {bench.contract.invoke('preflight')}: it says what is wrong with the storages",
        )
    return found


def _said(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.1f} MiB"


def _no_room(storage: str, available: int, needs: str) -> Unsafe:
    return Unsafe(
        tried="import a template",
        on=f"the storage {storage}",
        happened=f"{needs}, it has {_said(available)} free; no VM was made",
        do=f"Free space on {storage}, or declare another storage",
    )
