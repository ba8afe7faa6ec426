"""Bring files to a storage: sent by the client or fetched from an address, kept only when their checksum is right."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import disk_images
from .call import Call, Route
from .failures import bad_parameters, died
from .path_params import STORAGE
from .rights import both, either, perm
from .schema import boolean, needed, one_of, text
from .storage import FILE_TYPES
from .tasks import Worker

if TYPE_CHECKING:
    from .simulator import Simulator

_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_EXTENSIONS = {
    "iso": r".+\.(iso|img)",
    "vztmpl": r".+\.tar\.(gz|xz|zst)",
    "import": r"[a-zA-Z0-9_.+=\-]+\.(ova|qcow2|raw|vmdk)",
}
_PIECE = 1 << 20
_FETCH_TIMEOUT_S = 30


def _upload(call: Call) -> object:
    sim, params = call.sim, call.params
    volid = _target(call)
    given = Path(str(params["tmpfilename"]))
    sent = given.rename(given.with_name(f"pveupload-{secrets.token_hex(16)}"))  # the server removes what nobody took

    def work(worker: Worker) -> None:
        try:
            worker.log(f"starting file import from: {sent}")
            worker.spend(worker.record.pop("stall_s", 0.0))
            _check_sum(call, sent, worker)
            facts = _check_image(volid, sent)
            with worker.taking_its_time():
                _take(sim, volid, sent, facts, worker)
        finally:
            sent.unlink(missing_ok=True)

    return sim.tasks.start("imgcopy", "", call.user, work)


def _target(call: Call) -> str:
    """The volume the file will be; PVE's refusals for a storage or name that cannot take it."""
    params, name = call.params, call.params["storage"]
    record = call.sim.storages.config(name)
    if record["type"] not in FILE_TYPES:
        raise died(f"can't upload to storage type '{record['type']}'")
    file = re.sub(r"[^a-zA-Z0-9_.\-]", "_", params["filename"].rpartition("/")[2])
    if not re.fullmatch(_EXTENSIONS[params["content"]], file):
        wrong = "invalid filename or wrong extension" if params["content"] == "import" else "wrong file extension"
        raise bad_parameters({"filename": wrong})
    if params["content"] not in record["content"].split(","):
        raise died(f"storage '{name}' does not support '{params['content']}' content")
    return f"{name}:{params['content']}/{file}"


def _check_sum(call: Call, file: Path, worker: Worker) -> None:
    if "checksum" not in call.params:
        return
    expected, found = call.params["checksum"], _sum(call.params["checksum-algorithm"], file)
    if found.lower() != expected.lower():
        worker.log("calculating checksum...")
        raise died(f"checksum mismatch: got '{found}' != expect '{expected}'")
    worker.log("calculating checksum...OK, checksum verified")


def _sum(algorithm: str, file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _check_image(volid: str, file: Path) -> dict[str, object]:
    """What the books say about it; an image to import must be what its name says."""
    form = disk_images.form_of(volid)
    if "import/" not in volid or form not in {"qcow2", "raw"}:
        return {"format": form}
    return {"format": form, "virtual": disk_images.inspect(file, form, str(file)).virtual}


def _take(sim: Simulator, volid: str, sent: Path, facts: dict[str, object], worker: Worker) -> None:
    target, size = Path(sim.storages.path(volid)), sent.stat().st_size
    for line in (f"target node: {sim.node}", f"target file: {target}", f"file size is: {size}"):
        worker.log(line)
    worker.log(f"command: cp -- {sent} {target}")
    if size > sim.storages.status(volid.partition(":")[0])["avail"]:
        raise died(f"import failed: cp: error writing '{target}': No space left on device")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sent, target)
    with sim.state.changing():
        sim.storages.put_file(volid, target, **facts)
    worker.log("finished file import successfully")


# -- from an address --------------------------------------------------------------------------------------------------
def _download(call: Call) -> object:
    sim, volid = call.sim, _target(call)

    def work(worker: Worker) -> None:
        target = Path(sim.storages.path(volid))
        worker.log(f"downloading {call.params['url']} to {target}")
        if target.exists():
            _same_as_before(call, target, worker)
            return
        part = target.with_name(f"{target.name}.tmp_dwnl.{worker.record['pid']}")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            worker.spend(worker.record.pop("stall_s", 0.0))
            _fetch(call, part, worker)
            _check_sum(call, part, worker)
            facts = _check_image(volid, part)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        with sim.state.changing():
            sim.storages.put_file(volid, target, **facts)
        worker.log(f"download of '{call.params['url']}' to '{target}' finished")

    return sim.tasks.start("download", volid.rpartition("/")[2], call.user, work)


def _same_as_before(call: Call, target: Path, worker: Worker) -> None:
    """A file that is there is never replaced."""
    if "checksum" not in call.params:
        raise died(f"refusing to override existing file '{target}'")
    expected, found = call.params["checksum"], _sum(call.params["checksum-algorithm"], target)
    if found.lower() != expected.lower():
        worker.log("calculating checksum of existing file...")
        raise died(f"checksum mismatch: got '{found}' != expect '{expected}', aborting")
    worker.log("calculating checksum of existing file...OK, got correct file already, no need to download")


def _fetch(call: Call, part: Path, worker: Worker) -> None:
    room = call.sim.storages.status(call.params["storage"])["avail"]
    trust = ssl.create_default_context()
    if not call.params.get("verify-certificates", 1):
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # the caller asked the node for it
    # PVE takes a proxy from its own configuration only, never from its environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(call.params["url"], timeout=_FETCH_TIMEOUT_S) as source:
            length = source.headers.get("Content-Length")
            worker.log(f"Length: {length or 'unspecified'}")
            _write(source.read, part, room)
            if length is not None and part.stat().st_size != int(length):
                raise died("download failed: Connection closed before the end of the file")
    except urllib.error.HTTPError as error:
        raise died(f"download failed: ERROR {error.code}: {error.reason}.") from error
    except OSError as error:
        raise died(f"download failed: {error}") from error


def _write(read: Callable[[int], bytes], part: Path, room: int) -> None:
    written = 0
    with part.open("wb") as file:
        while piece := read(_PIECE):
            written += len(piece)
            if written > room:
                raise died(f"download failed: {part}: No space left on device")
            file.write(piece)


_COMMON = STORAGE | {
    "checksum": text(requires="checksum-algorithm"),
    "checksum-algorithm": one_of(*_ALGORITHMS, requires="checksum"),
    "content": needed(one_of("iso", "vztmpl", "import")),
    "filename": needed(text(longest=255)),
}
_TEMPLATES = perm("/storage/{storage}", "Datastore.AllocateTemplate")
_REACH_OUT = either(perm("/", "Sys.Audit", "Sys.Modify"), perm("/nodes/{node}", "Sys.AccessNetwork"))
_URL = {
    "compression": text(),
    "url": needed(text(pattern=r"https?://.*")),
    "verify-certificates": boolean(),
}
_ONE = "/nodes/{node}/storage/{storage}"
_TEMPORARY = {"tmpfilename": text(pattern=r"/var/tmp/pveupload-[0-9a-f]+")}  # noqa: S108 - PVE's own place
ROUTES = (
    Route("POST", f"{_ONE}/upload", _upload, _COMMON | _TEMPORARY, _TEMPLATES),
    Route("POST", f"{_ONE}/download-url", _download, _COMMON | _URL, both(_TEMPLATES, _REACH_OUT)),
)
