"""Serve a router's API until somebody ends it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from .opnsense import Key, OpnSense
from .seed import Seed
from .server import Product, Server
from .services import Services
from .state import StateFile
from .vyos import Vyos


def main(arguments: Sequence[str]) -> None:
    """The folder of the state holds state.json, seed.json and keys.json; `first.py` writes the first and second."""
    options = _parse(arguments)
    state, keys = StateFile(options.state / "state.json"), json.loads((options.state / "keys.json").read_text())
    services = Services(tuple(shlex.split(options.service)))
    product: Product
    if options.product == "opnsense":
        known = tuple(Key(one["key"], one["secret"], tuple(one.get("pages", [""]))) for one in keys)
        product = OpnSense(state, services, known, options.rows)
    else:
        seed = Seed.from_json(json.loads((options.state / "seed.json").read_text()))
        product = Vyos(state, services, keys[0]["key"], options.release, seed)
    server = Server(("", options.port), options.certificate, options.key, product)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _tell_systemd()
    server.serve_forever()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="router", description=__doc__)
    parser.add_argument("--product", choices=("opnsense", "vyos"), required=True)
    parser.add_argument("--release", choices=("1.4", "1.5"), default="1.5", help="of VyOS: which names its leaves have")
    parser.add_argument("--rows", choices=("raw", "label"), default="raw", help="of OPNsense: what its grids show")
    parser.add_argument("--state", type=Path, required=True, help="the folder of the configuration")
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--service", default="systemctl", help="called as `systemctl restart kea`")
    return parser.parse_args(arguments)


def _tell_systemd() -> None:
    """READY=1 for a unit of Type=notify."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        address = f"\0{name[1:]}" if name.startswith("@") else name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address)


if __name__ == "__main__":
    main(sys.argv[1:])
