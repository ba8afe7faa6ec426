"""Images come to a storage by checksum, become disks with their content, and need room: for data and a pool's map."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.lab.pve import disk_images
from tests.lab.pve.served import NODE, Node

GIB = 2**30
STORE = f"{NODE}/storage/local"
MAKE = {"vmid": 110, "name": "made", "scsi0": "local-lvm:0,import-from=local:import/image.qcow2", "boot": "order=scsi0"}


def tree(folder: Path, **files: str) -> Path:
    """A tar file with these files, `_` for a slash; an empty text deletes the file below."""
    path = folder / "tree.tar"
    with tarfile.open(path, "w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("_", "/"))
            entry.size = len(text)
            if not text:
                entry.type, entry.devmajor, entry.devminor = tarfile.CHRTYPE, 0, 0
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def image(folder: Path, content: Path | None = None, virtual: int = 4 * GIB) -> bytes:
    disk_images.write(folder / "image.qcow2", content, virtual)
    return (folder / "image.qcow2").read_bytes()


def send(node: Node, content: bytes, *, name: str = "image.qcow2", user: str = "root@pam", **fields: str) -> Any:
    parts: dict[str, str | tuple[str, bytes]] = {"content": "import", **fields, "filename": (name, content)}
    return node.upload(f"{STORE}/upload", parts, user=user)


def imports(node: Node) -> dict[str, Any]:
    return {item["volid"]: item for item in node.read(f"{STORE}/content", {"content": "import"})}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Tests look at what was fetched."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_image_survives_the_way_through_qcow2(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * 3000)
    image(tmp_path, content, virtual=40 * GIB)
    path = tmp_path / "image.qcow2"
    assert disk_images.inspect(path, "qcow2", "shown").virtual == 40 * GIB
    assert not disk_images.extract(path, "qcow2", tmp_path / "back")
    assert (tmp_path / "back").read_bytes()[: 256 * 3000] == content.read_bytes()


def test_an_upload_stays_only_with_the_right_checksum(node: Node, tmp_path: Path) -> None:
    content = image(tmp_path)
    right = hashlib.sha256(content).hexdigest()
    fields = {"checksum-algorithm": "sha256"}
    wrong = node.ended(send(node, content, **fields, checksum="00").data)
    assert wrong == f"checksum mismatch: got '{right}' != expect '00'"
    assert imports(node) == {}
    assert node.ended(send(node, content, **fields, checksum=right.upper()).data) == "OK"
    (found,) = imports(node).values()
    assert (found["volid"], found["size"], found["format"]) == ("local:import/image.qcow2", len(content), "qcow2")
    one = node.read(f"{STORE}/content/local:import/image.qcow2")
    assert (one["size"], Path(one["path"]).read_bytes() == content) == (4 * GIB, True)
    (task, *_) = node.read(f"{NODE}/tasks", {"typefilter": "imgcopy"})
    (begun, *_) = node.read(f"{NODE}/tasks/{task['upid']}/log")
    assert not Path(begun["t"].removeprefix("starting file import from: ")).exists()


@pytest.mark.parametrize(
    ("name", "content", "end"),
    [
        ("image.qcow2", b"no image", "Image is not in qcow2 format"),
        ("image.qcow2", b"QFI\xfb\0\0\0\3" + b"\0\0\0\0\0\0\1\0" + b"\0" * 200, "has backing file"),
    ],
)
def test_what_is_no_image_to_trust_is_refused(node: Node, name: str, content: bytes, end: str) -> None:
    assert node.ended(send(node, content, name=name).data).endswith(end)
    assert imports(node) == {}


def test_uploads_are_refused_by_name_storage_and_privilege(node: Node) -> None:
    assert send(node, b"x", name="image.img").body["errors"] == {"filename": "invalid filename or wrong extension"}
    reply = node.upload(f"{NODE}/storage/local-lvm/upload", {"content": "import", "filename": ("a.raw", b"x")})
    assert reply.reason == "can't upload to storage type 'lvmthin'"
    reply = send(node, b"x", name="a.raw", user="maker")
    assert reply.reason == "Permission check failed (/storage/local, Datastore.AllocateTemplate)"
    node.control(op="fill-storage", storage="local", available_bytes=0)
    assert node.ended(send(node, b"xx", name="a.raw").data).endswith("No space left on device")


def test_an_upload_of_many_pieces_arrives_whole(node: Node) -> None:
    content = b"--limi\r\n--limi" * 300_000  # nearly the boundary, across every piece of the reader
    assert node.ended(send(node, content, name="a.raw").data) == "OK"
    assert Path(node.read(f"{STORE}/content/local:import/a.raw")["path"]).read_bytes() == content


def test_a_download_is_done_once_and_never_overwrites(node: Node, served: tuple[Path, str]) -> None:
    folder, address = served
    content = image(folder)
    sums = {"checksum-algorithm": "sha256", "checksum": hashlib.sha256(content).hexdigest()}
    wanted = {"content": "import", "filename": "image.qcow2", "url": f"{address}/image.qcow2"}
    fetch = partial(node.run, "POST", f"{STORE}/download-url")
    assert fetch(wanted | sums | {"checksum": "00"}).startswith("checksum mismatch: got '")
    assert imports(node) == {}
    assert fetch(wanted | sums) == "OK"
    (folder / "image.qcow2").unlink()
    assert fetch(wanted | sums) == "OK"
    assert fetch(wanted | sums | {"checksum": "00"}).endswith("expect '00', aborting")
    assert fetch(wanted).startswith("refusing to override existing file '")
    assert fetch(wanted | {"filename": "other.qcow2"}) == "download failed: ERROR 404: File not found."
    assert list(imports(node)) == ["local:import/image.qcow2"]


def test_a_download_needs_the_right_to_reach_out(node: Node) -> None:
    maker = {"users": "maker@pve", "tokens": "maker@pve!ci"}
    node.ask("PUT", "/access/acl", {"path": "/storage/local", "roles": "Store", **maker})
    node.ask("PUT", "/access/roles/Store", {"privs": "Datastore.AllocateTemplate", "append": 1})
    wanted = {"content": "import", "filename": "a.raw", "url": "http://127.0.0.1:9/a.raw"}
    assert node.ask("POST", f"{STORE}/download-url", wanted, user="maker").status == 403
    node.ask("POST", "/access/roles", {"roleid": "Out", "privs": "Sys.AccessNetwork"})
    node.ask("PUT", "/access/acl", {"path": NODE, "roles": "Out", **maker})
    reply = node.ask("POST", f"{STORE}/download-url", wanted, user="maker")
    assert "Connection refused" in node.ended(reply.data)


def test_an_imported_image_becomes_a_template_whose_clones_have_its_files(
    node_with_disks: Node, tmp_path: Path
) -> None:
    node, content = node_with_disks, tree(tmp_path, etc_hostname="fedora", etc_gone="")
    assert node.ended(send(node, image(tmp_path, content, virtual=10 * GIB)).data) == "OK"
    assert node.run("POST", f"{NODE}/qemu", MAKE) == "OK"
    assert node.read(f"{NODE}/qemu/110/config")["scsi0"] == "local-lvm:vm-110-disk-0,size=10G"
    assert (node.disk(110) / "etc/hostname").read_text() == "fedora"
    assert (node.disk(110) / "etc/gone").is_char_device()
    assert node.run("POST", f"{NODE}/qemu/110/template") == "OK"
    assert node.run("POST", f"{NODE}/qemu/110/clone", {"newid": 111}) == "OK"
    assert node.run("POST", f"{NODE}/qemu/110/clone", {"newid": 112, "full": 1}) == "OK"
    layers = (node.folder / "guests/111/layers").read_text().split(":")
    assert layers == [str(node.disk(110)), "/image/content", "/image/rootfs"]
    assert (node.disk(112) / "etc/hostname").read_text() == "fedora"


def test_an_image_without_a_system_makes_a_disk_without_one(node_with_disks: Node, tmp_path: Path) -> None:
    assert node_with_disks.ended(send(node_with_disks, image(tmp_path)).data) == "OK"
    assert node_with_disks.run("POST", f"{NODE}/qemu", MAKE) == "OK"
    assert (node_with_disks.folder / "guests/110/layers").read_text() == "/image/rootfs"


@pytest.mark.parametrize("full", [True, False])
def test_an_import_without_room_leaves_nothing(node: Node, tmp_path: Path, full: bool) -> None:
    assert node.ended(send(node, image(tmp_path)).data) == "OK"
    node.control(op="fill-storage", storage="local-lvm", available_bytes=0 if full else 4096)
    end = node.run("POST", f"{NODE}/qemu", MAKE)
    assert ("reached threshold" in end, "copy failed: command '/usr/bin/qemu-img" in end) == (full, not full)
    assert node.ask("GET", f"{NODE}/qemu/110/config").status == 500
    assert [item for item in node.read(f"{NODE}/storage/local-lvm/content") if item["vmid"] == 110] == []


def test_a_full_clone_takes_room_and_a_linked_one_none(node: Node) -> None:
    def used() -> int:
        return int(node.read(f"{NODE}/storage/local-lvm/status")["used"])

    before = used()
    assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130}) == "OK"
    assert used() == before
    assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 131, "full": 1}) == "OK"
    taken = used() - before
    assert taken > 4 * GIB // 10
    assert node.run("POST", f"{NODE}/qemu/130/clone", {"newid": 132, "full": 1}) == "OK"
    assert used() - before == 2 * taken, "a full clone of a linked one copies what that shares with its base"


def test_a_full_clone_that_does_not_fit_fails_at_its_end_and_gives_everything_back(node: Node) -> None:
    node.control(op="fill-storage", storage="local-lvm", available_bytes=10 * 2**20)
    end = node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130, "full": 1})
    assert end.startswith("clone failed: copy failed: command '/usr/bin/qemu-img convert -p -n ")
    assert node.ask("GET", f"{NODE}/qemu/130/config").status == 500
    assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 131}) == "OK"


def test_a_pool_with_a_full_map_takes_no_new_volume(node: Node) -> None:
    (pool,) = node.read(f"{NODE}/disks/lvmthin", user="audit")
    assert (pool["lv"], pool["vg"], pool["lv_size"]) == ("data", "pve", 40 * GIB)
    assert 0 < pool["metadata_used"] < pool["metadata_size"] == 40 * GIB // 100
    storage = {"storage": "local-lvm", "type": "lvmthin", "thinpool": "data", "vgname": "pve"}
    sizes = {"total_bytes": 40 * GIB, "metadata_bytes": 2**20, "metadata_used_bytes": 2**20}
    node.control(op="seed", seed={"storages": [storage | sizes | {"content": "images"}]})
    end = node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130})
    assert "free space in thin pool pve/data reached threshold" in end
    assert node.ask("GET", f"{NODE}/disks/lvmthin", user="maker").status == 403
