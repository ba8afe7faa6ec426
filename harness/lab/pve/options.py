"""What the simulator is told on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    state: Path
    address: str  # to listen on
    port: int
    certificate: Path
    key: Path
    ca: Path | None
    node: str
    node_address: str | None
    runtime: str
    runtime_dir: Path | None
    guest_image: Path | None
    seed: Path | None
    pve_version: str
    bridges: tuple[str, ...]
    interfaces: Path
    pace: float


def parse_options(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="simulator", description="Imitate the HTTP API of Proxmox VE 8.4.1.")
    parser.add_argument("--state", type=Path, required=True, help="directory of state.json, control.sock and port")
    parser.add_argument("--listen", default="127.0.0.1:0", help="ADDRESS:PORT; port 0 takes any")
    parser.add_argument("--certificate", type=Path, required=True, help="PEM, the node's certificate first")
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--ca", type=Path, help="PEM, shown as pve-root-ca.pem")
    parser.add_argument("--node", required=True)
    parser.add_argument("--address", dest="node_address", help="the node's own address")
    parser.add_argument("--runtime", choices=("none", "namespaces"), default="none")
    parser.add_argument("--runtime-dir", type=Path)
    parser.add_argument("--guest-image", type=Path)
    parser.add_argument("--seed", type=Path, help="JSON, read when the state directory has no state yet")
    parser.add_argument("--pve-version", default="8.4.1", help="where dpkg knows no pve-manager")
    parser.add_argument("--bridges", default="", help="bridges that count as present beside the real ones")
    parser.add_argument("--interfaces", type=Path, default=Path("/etc/network/interfaces"))
    parser.add_argument("--pace", type=float, default=1.0, help="factor on every waiting time of PVE's")
    chosen = vars(parser.parse_args(arguments))
    chosen["address"], _, port = chosen.pop("listen").rpartition(":")
    chosen["address"] = chosen["address"].strip("[]")
    chosen["port"] = int(port)
    chosen["bridges"] = tuple(name for name in chosen["bridges"].split(",") if name)
    if chosen["runtime"] == "namespaces" and None in {chosen["runtime_dir"], chosen["guest_image"]}:
        parser.error("--runtime namespaces needs --runtime-dir and --guest-image")
    return Options(**chosen)
