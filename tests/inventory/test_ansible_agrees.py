"""Each host's merged variables are those that the real ansible-inventory prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import inventory
from tests.inventory.trees import SHIPPED, write

# One small site with every way in which Ansible lets one value win over another.
TRICKY = {
    "hosts.yml": """
        all:
          vars: {here: all-inline, over: all-inline, depth: all}
          hosts:
            lonely: {}
            web[01:03:2].example:2222: {inline: range}
            db-[a:c]: {inline: letters, over: host-inline}
          children:
            outer:
              vars: {depth: outer, late: outer-inline}
              children:
                inner:
                  vars: {depth: inner, only_inline: inner}
                  hosts:
                    deep: {over: host-inline, file_wins: inline}
            alpha:
              vars: {tie: alpha, ansible_group_priority: 5, priority: alpha}
              hosts: {deep: , db-a: }
            beta:
              vars: {tie: beta, priority: beta}
              hosts: {deep: , db-a: {second_entry: 1}}
            shadowed:
              hosts: deep
        floating:
          hosts: {deep: {}, only-floating: {}}
        """,
    "more.json": '{"outer": {"hosts": {"from-json": {"numbers": [1, 2.5, true, null]}}}}',
    "notes.txt": "no inventory: this suffix is skipped\n",
    ".hidden.yml": "all: {hosts: {ghost: {}}}\n",
    "group_vars/all.yml": "hidden_by_folder: true\n",
    "group_vars/all/b.yml": "over: all-file-b\nfrom_folder: b\nmapping: {b: 1}\n",
    "group_vars/all/a.yml": "from_folder: a\nmapping: {a: 1}\nday: 2027-01-31\nwhen: 2027-01-31T10:00:00Z\n",
    "group_vars/all/deeper/c.yml": "from_deeper: c\n",
    "group_vars/all/skipped.txt": "not_there: 1\n",
    "group_vars/all/.skipped.yml": "not_there: 1\n",
    "group_vars/outer.yml": "late: outer-file\ndepth: outer-file\n",
    "group_vars/inner.yaml": "depth: inner-file\n",
    "group_vars/alpha.yml": "tie_file: alpha\npriority_file: alpha\n",
    "group_vars/beta.yml": "tie_file: beta\npriority_file: beta\nansible_group_priority: 9\n",
    "group_vars/ungrouped.yml": "alone: true\n",
    "group_vars/floating": "no_suffix: yes\n",
    "host_vars/deep.yml": """
        file_wins: file
        anchors: &base {x: 1, y: 2}
        merged: {<<: *base, y: 3}
        text: !unsafe "{{ kept }}"
        secret: !vault |
          $ANSIBLE_VAULT;1.1;AES256
          3365
        octal: 010
        sexagesimal: 12:30:45
        quoted: "02:de:20:01:01:01"
        folded: >-
          one
          two
        53: a number as a key
        """,
    "host_vars/db-b/vars.yml": "split: vars\n",
    "host_vars/db-b/vault.yml": "split: vault\n",
    "host_vars/db-c.json": '{"json": true}',
    "host_vars/nobody.yml": "unused: 1\n",
}


def from_ansible(folder: Path, cwd: Path) -> dict[str, Any]:
    """What ansible-inventory says, away from every configuration of this machine."""
    program = Path(sys.executable).parent / "ansible-inventory"
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8", "ANSIBLE_LOCALHOST_WARNING": "0"}
    ended = subprocess.run(
        [program, "-i", folder, "--list"], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    printed: dict[str, Any] = json.loads(ended.stdout)
    return printed


def as_printed(values: dict[str, dict[str, Any]]) -> Any:
    """Ours as JSON, in which dates are texts and keys are texts."""
    return json.loads(json.dumps(values, default=lambda value: value.isoformat()))


@pytest.mark.parametrize("site", inventory.sites(SHIPPED))
def test_shipped_site_merges_as_ansible_does(site: str, tmp_path: Path) -> None:
    theirs = from_ansible(SHIPPED / site, tmp_path)["_meta"]["hostvars"]
    assert len(theirs) >= 6, "a shipped site has a VM of each category, two hypervisors and a router"
    assert as_printed(inventory.variables(SHIPPED, site)) == theirs


def test_every_precedence_rule_merges_as_ansible_does(tmp_path: Path) -> None:
    folder = write(tmp_path / "inventory" / "tricky", TRICKY)
    theirs = from_ansible(folder, tmp_path)["_meta"]["hostvars"]
    ours = as_printed(inventory.variables(folder.parent, "tricky"))
    assert sorted(ours) == sorted(theirs)
    for host, expected in theirs.items():
        assert ours[host] == expected, host


def test_groups_are_those_of_ansible(tmp_path: Path) -> None:
    printed = from_ansible(SHIPPED / "dvntm", tmp_path)
    hosts = inventory.load(SHIPPED, "dvntm").hosts
    for group in ("management_vms", "hypervisors", "routers", "dns_servers", "observability", "infrastructure"):
        assert {name for name, host in hosts.items() if group in host.groups} == members(printed, group)


def members(printed: dict[str, Any], group: str) -> set[str]:
    """A group's hosts with those of its children."""
    own = printed.get(group, {})
    return set(own.get("hosts", [])).union(*(members(printed, child) for child in own.get("children", [])))
