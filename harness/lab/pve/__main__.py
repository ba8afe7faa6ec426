"""Start the simulator and say when it listens."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence

from .control import serve_control
from .dispatch import Dispatcher
from .options import parse_options
from .pvesh_socket import serve_pvesh
from .runtime import GuestRuntime
from .seed import apply_seed_file
from .server import Server
from .simulator import build


def main(arguments: Sequence[str], runtime: GuestRuntime | None = None) -> None:
    """Serve until SIGTERM; guests are left as they are."""
    options = parse_options(arguments)
    sim = build(options, runtime)
    if sim.state.is_new:
        if options.seed is not None:
            apply_seed_file(sim, options.seed)
        sim.state.save()
    sim.broadcasts.run(sim)
    dispatcher = Dispatcher(sim)
    server = Server(options, dispatcher)
    serve_control(sim, options.state / "control.sock")
    serve_pvesh(sim, dispatcher, options.state / "pvesh.sock")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (options.state / "port").write_text(f"{server.server_port}\n", encoding="ascii")
    host = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
    print(f"listening on https://{host}:{server.server_port}", flush=True)
    _tell_systemd()
    server.serve_forever()


def _tell_systemd() -> None:
    """READY=1 for a unit of Type=notify."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        address = f"\0{name[1:]}" if name.startswith("@") else name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address)


if __name__ == "__main__":
    main(sys.argv[1:])
