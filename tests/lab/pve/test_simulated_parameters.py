"""Parameters are checked, stored and shown as PVE does it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from tests.lab.pve.served import NODE, Node

CONFIG = f"{NODE}/qemu/200/config"
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"


@pytest.mark.parametrize(
    ("sent", "errors"),
    [
        ({"bogus": 1}, {"bogus": UNKNOWN}),
        ({"net32": "virtio"}, {"net32": UNKNOWN}),
        ({"onboot": "True"}, {"onboot": "type check ('boolean') failed - got 'True'"}),
        ({"onboot": "yes"}, {"onboot": "type check ('boolean') failed - got 'yes'"}),
        ({"cores": "1.5"}, {"cores": "type check ('integer') failed - got '1.5'"}),
        ({"cores": 0}, {"cores": "value must have a minimum value of 1"}),
        ({"name": "under_score"}, {"name": "invalid format - value does not look like a valid DNS name\n"}),
        ({"tags": "ok;-bad"}, {"tags": "invalid format - invalid characters in tag\n"}),
        ({"startup": "soon"}, {"startup": "invalid format - unable to parse startup options\n"}),
        (
            {"memory": "much"},
            {"memory": "invalid format - format error\nmemory.current: type check ('integer') failed - got 'much'\n"},
        ),
        (
            {"net0": "bridge=vmbr0"},
            {"net0": "invalid format - format error\nnet0.model: property is missing and it is not optional\n"},
        ),
        (
            {"net0": "virtio=01:00:00:00:00:01,bridge=vmbr0"},
            {
                "net0": "invalid format - format error\nnet0.macaddr: "
                "invalid format - value does not look like a valid unicast MAC address\n\n"
            },
        ),
        ({"delete": "nonsense"}, {"delete": "unknown option 'nonsense'"}),
        ({"vmid": 201}, {"vmid": "duplicate parameter (already defined in URI) with conflicting values!"}),
        ({"cores": "x", "bogus": 1}, {"cores": "type check ('integer') failed - got 'x'", "bogus": UNKNOWN}),
    ],
)
def test_refuses_by_name_with_pves_words_and_changes_nothing(
    node: Node, sent: dict[str, Any], errors: dict[str, str]
) -> None:
    before = node.read(CONFIG)
    reply = node.ask("PUT", CONFIG, sent)
    assert (reply.status, reply.reason) == (400, "Parameter verification failed.")
    assert reply.body == {"data": None, "message": "Parameter verification failed.\n", "errors": errors}
    assert node.read(CONFIG) == before


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"net0": "virtio=02:de:20:01:01:01,bridge=vmbr0"}, {"net0": "virtio=02:de:20:01:01:01,bridge=vmbr0"}),
        (
            {"net0": "model=virtio,macaddr=02:DE:20:01:01:01,tag=5,firewall=yes,bridge=vmbr0"},
            {"net0": "virtio=02:DE:20:01:01:01,bridge=vmbr0,firewall=1,tag=5"},
        ),
        ({"tags": "Web;lab,Db zz;lab"}, {"tags": "db;lab;web;zz"}),
        ({"tags": ""}, {"tags": " "}),
        ({"memory": 1024, "cores": 2, "onboot": 1}, {"memory": "1024", "cores": 2, "onboot": 1}),
        ({"startup": "down=60,order=3"}, {"startup": "down=60,order=3"}),
        ({"description": "two\nlines\n"}, {"description": "two\nlines"}),
    ],
)
def test_reads_back_in_pves_form(node: Node, sent: dict[str, Any], stored: dict[str, Any]) -> None:
    assert node.ask("PUT", CONFIG, sent).status == 200
    config = node.read(CONFIG)
    assert {key: config[key] for key in stored} == stored


def test_json_booleans_are_booleans(node: Node) -> None:
    assert node.ask("PUT", CONFIG, {"onboot": True}, encoding="json").status == 200
    assert node.read(CONFIG)["onboot"] == 1


def test_a_nic_without_a_mac_draws_another_one_at_every_write(node: Node) -> None:
    macs = set()
    for _ in range(2):
        node.ask("PUT", CONFIG, {"net0": "virtio,bridge=vmbr0"})
        macs.add(node.read(CONFIG)["net0"])
    assert len(macs) == 2
    assert all(re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0", mac) for mac in macs)


def test_the_digest_is_that_of_the_files_text_and_guards_a_write(node: Node) -> None:
    node.ask("PUT", CONFIG, {"description": "50%: ü", "delete": "meta"})
    config = node.read(CONFIG)
    stated = config.pop("digest")
    lines = ["#50%25%3A %C3%BC"] + [f"{key}: {config[key]}" for key in sorted(config) if key != "description"]
    text = "".join(f"{line}\n" for line in lines)
    assert stated == hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    assert node.ask("PUT", CONFIG, {"cores": 2, "digest": stated}).status == 200
    stale = node.ask("PUT", CONFIG, {"cores": 4, "digest": stated})
    assert (stale.status, stale.reason) == (500, "checksum mismatch (file change by other user?)")


def test_parameters_of_a_delete_belong_into_the_query(node: Node) -> None:
    reply = node.ask("DELETE", "/pools", {"poolid": "mgmt"}, encoding="form")
    assert (reply.status, reply.reason) == (501, "Unexpected content for method 'DELETE'")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nosuch"), ("POST", f"{NODE}/qemu/200/nosuch"), ("PUT", "/version")]
)
def test_says_what_is_not_there(node: Node, method: str, path: str) -> None:
    reply = node.ask(method, path)
    assert (reply.status, reply.reason) == (501, f"Method '{method} {path}' not implemented")


def test_storage_that_is_configured_over_the_network_is_shared_and_dead(node: Node) -> None:
    wanted = {"storage": "nas", "type": "nfs", "server": "198.18.99.9", "export": "/x", "content": "images"}
    assert node.ask("POST", "/storage", wanted).data == {"storage": "nas", "type": "nfs"}
    status = node.read(f"{NODE}/storage/nas/status")
    assert (status["shared"], status["enabled"], status["active"], status["total"]) == (1, 1, 0, 0)
    again = node.ask("POST", "/storage", wanted)
    assert (again.status, again.reason) == (500, "storage ID 'nas' already defined")


def test_a_disabled_job_backs_nothing_up(node: Node) -> None:
    missed = "/cluster/backup-info/not-backed-up"
    node.ask("POST", "/cluster/backup", {"id": "nightly", "schedule": "02:30", "storage": "local", "all": 1})
    assert node.read(missed) == []
    assert node.read("/cluster/backup")[0]["next-run"] > 0
    node.ask("PUT", "/cluster/backup/nightly", {"enabled": 0})
    assert {item["vmid"] for item in node.read(missed)} == {200, 9000}
