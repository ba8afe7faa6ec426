"""Serve the node's own `pvesh` and `pveum` on a unix socket for root: one JSON line each way."""

from __future__ import annotations

import json
import socketserver
import threading
from dataclasses import asdict
from pathlib import Path

from . import pvesh, pveum
from .dispatch import Dispatcher
from .simulator import Simulator
from .striking import DroppedError

PROGRAMS = {"pvesh": pvesh.run, "pveum": pveum.run}


def serve_pvesh(sim: Simulator, dispatcher: Dispatcher, path: Path) -> None:
    """Answer on `path` in the background."""
    path.unlink(missing_ok=True)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            try:
                request = json.loads(line)
                outcome = PROGRAMS[request["program"]](sim, dispatcher, request["argv"])
            except DroppedError:
                return  # a fault was asked for: the program is to die without a word
            self.wfile.write(json.dumps(asdict(outcome)).encode() + b"\n")

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    path.chmod(0o600)
    threading.Thread(target=server.serve_forever, name="pvesh", daemon=True).start()
