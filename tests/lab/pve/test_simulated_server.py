"""Three workers, connections that end with a refusal, counters, and faults on request."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.lab.pve.served import NODE, ROOT, Node

CONFIG = f"{NODE}/qemu/200/config"


def test_a_fourth_request_waits_for_one_of_three_workers(node: Node) -> None:
    node.control(op="hold-lock", vmid=200, seconds=0.4)
    blocked = [threading.Thread(target=node.ask, args=("PUT", CONFIG, {"cores": 2})) for _ in range(3)]
    for thread in blocked:
        thread.start()
        thread.join(0.03)
    started = time.monotonic()
    assert node.ask("GET", "/version").status == 200
    waited = time.monotonic() - started
    for thread in blocked:
        thread.join()
    assert waited > 0.15


def test_a_success_keeps_the_connection_and_a_refusal_ends_it(node: Node) -> None:
    assert node.ask("GET", "/version").headers["Connection"] == "Keep-Alive"
    refused = node.ask("GET", f"{NODE}/qemu/999/config")
    assert refused.headers["Connection"] == "close"
    assert refused.headers["Server"] == "pve-api-daemon/3.0"


def test_what_goes_wrong_in_a_call_is_answered_and_not_a_closed_connection(node: Node) -> None:
    (node.folder / "interfaces").write_bytes(b"iface \xff inet static\n")
    failed = node.ask("GET", f"{NODE}/network")
    assert failed.status == 500
    assert "UnicodeDecodeError" in failed.reason
    assert node.ask("GET", "/version").status == 200


def test_plain_http_is_sent_to_https(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    connection.request("GET", "/api2/json/version")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, f"https://127.0.0.1:{node.port}/api2/json/version")


def test_counts_calls_by_template_and_writes_apart_from_logins(node: Node) -> None:
    node.control(op="reset-counters")
    node.login()
    node.read(CONFIG)
    assert node.control(op="counters")["writes"] == 0
    node.ask("PUT", CONFIG, {"cores": 2})
    report = node.control(op="counters")
    assert report["writes"] == 1
    assert report["calls"]["PUT /nodes/{node}/qemu/{vmid}/config"] == 1


def test_writes_and_tasks_tell_when_they_began_and_ended(node: Node) -> None:
    """PVE's own task list has whole seconds; whoever measures the lab wants the fractions of the same moments."""
    node.control(op="reset-counters")
    upid = node.ask("POST", f"{NODE}/qemu/200/status/start", {}).data
    node.ended(upid)
    [write] = node.control(op="writes")
    task = next(one for one in node.control(op="tasks") if one["upid"] == upid)
    listed = next(one for one in node.read(f"{NODE}/tasks") if one["upid"] == upid)
    assert write["began"] <= task["began"] <= write["ended"]
    assert task["began"] <= task["ended"]
    assert (int(task["began"]), int(task["ended"])) == (listed["starttime"], listed["endtime"])
    assert {"began", "ended"}.isdisjoint(listed)


def test_a_fault_hits_as_often_as_it_was_asked_to(node: Node) -> None:
    node.control(op="fault", method="GET", path="/version$", times=2, kind="status", status=500, reason="no luck")
    assert [node.ask("GET", "/version").status for _ in range(3)] == [500, 500, 200]


def test_a_connection_dropped_before_did_nothing_and_one_dropped_after_did_it(node: Node) -> None:
    for kind, cores in (("drop-before", 1), ("drop-after", 3)):
        node.control(op="fault", method="PUT", path="/config$", kind=kind)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError, OSError)):
            node.ask("PUT", CONFIG, {"cores": 3})
        assert node.read(CONFIG)["cores"] == cores


def test_a_596_hides_a_write_that_was_done(node: Node) -> None:
    node.control(op="fault", method="PUT", path="/config$", kind="596")
    reply = node.ask("PUT", CONFIG, {"cores": 3})
    assert (reply.status, reply.reason, reply.text) == (596, "Broken pipe", "")
    assert node.read(CONFIG)["cores"] == 3


def test_a_task_fails_with_the_text_it_was_given(node: Node) -> None:
    node.control(op="fault", kind="task-fail", task="qmstart", text="no electricity")
    assert node.run("POST", f"{NODE}/qemu/200/status/start") == "no electricity"


def test_a_wrong_request_at_the_side_door_is_refused_in_words(node: Node) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(node.folder / "state/control.sock"))
        connection.sendall(b'{"op": "nonsense"}\n{"op": "fault", "kind": "odd"}\n')
        answers = connection.makefile()
        assert "unknown op 'nonsense'; one of counters" in answers.readline()
        assert "unknown kind 'odd'; one of status" in answers.readline()


def test_an_edited_file_shows_as_if_somebody_had_edited_it(node: Node) -> None:
    before = node.read(CONFIG)["digest"]
    node.control(op="edit-config", vmid=200, set={"net0": "virtio=02:DE:00:00:00:01,bridge=vmbr0"}, delete=["agent"])
    config = node.read(CONFIG)
    assert config["net0"] == "virtio=02:DE:00:00:00:01,bridge=vmbr0"
    assert "agent" not in config
    assert config["digest"] != before


def test_a_stand_alone_node_has_no_cluster_ha_or_replication(node: Node) -> None:
    status = node.read("/cluster/status")
    assert [(entry["type"], entry["nodeid"], entry["local"]) for entry in status] == [("node", 0, 1)]
    for path in ("ha/resources", "ha/groups", "replication", "config/nodes"):
        assert node.read(f"/cluster/{path}") == []


def test_the_nodes_figures_are_the_machines_own(node: Node) -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    status = node.read(f"{NODE}/status")
    assert status["memory"]["total"] == total
    assert status["pveversion"] == f"pve-manager/{node.read('/version')['version']}/{node.read('/version')['repoid']}"


def test_the_certificate_it_shows_is_the_one_it_speaks_with(node: Node) -> None:
    pem = (node.folder / "cert.pem").read_text()
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    fingerprint = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    own = next(item for item in node.read(f"{NODE}/certificates/info") if item["filename"] == "pve-ssl.pem")
    assert own["fingerprint"] == fingerprint == node.read("/nodes")[0]["ssl_fingerprint"]
    assert own["san"] == ["127.0.0.1", "localhost", "hv01"]
    assert (own["public-key-type"], own["public-key-bits"]) == ("rsaEncryption", 2048)


def test_the_folder_alone_runs_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """So it is copied into the lab's hypervisor; -S leaves the site's packages out."""
    shutil.copytree(ROOT / "harness/lab/pve", tmp_path / "simulator", ignore=shutil.ignore_patterns("__pycache__"))
    names = [path.stem for path in (tmp_path / "simulator").glob("*.py") if path.stem != "__init__"]
    imports = "; ".join(f"import simulator.{name}" for name in names)
    done = subprocess.run(
        [sys.executable, "-S", "-c", imports], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
