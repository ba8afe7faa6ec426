"""Everything one simulated node consists of, made once and handed to every call."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .counters import Counters
from .faults import Faults
from .host import Host
from .identity import Identity
from .locks import ConfigLocks
from .network import interfaces, present_bridges
from .resources import Broadcasts
from .rights import Rights
from .runtime import GuestRuntime, NoRuntime
from .state import State
from .storage import Storages
from .tasks import Tasks
from .vm_config import Configs

if TYPE_CHECKING:
    from .options import Options

DEFAULT_MAC_PREFIX = "BC:24:11"


@dataclass(frozen=True)
class Simulator:
    options: Options
    state: State
    rights: Rights
    identity: Identity
    storages: Storages
    configs: Configs
    locks: ConfigLocks
    faults: Faults
    counters: Counters
    tasks: Tasks
    host: Host
    runtime: GuestRuntime
    broadcasts: Broadcasts
    paused: set[int] = field(default_factory=set)  # suspended VMs; a suspended guest is a running process that waits

    backup_lock: threading.Lock = field(default_factory=threading.Lock)  # one vzdump at a time on a node

    @property
    def node(self) -> str:
        return self.options.node

    @property
    def pace(self) -> float:
        return self.options.pace

    def bridges(self) -> list[str]:
        return sorted({*present_bridges(), *self.options.bridges})

    def interfaces(self) -> list[dict[str, object]]:
        return interfaces(self.options.interfaces, self.options.bridges)

    def random_mac(self) -> str:
        """A MAC with the datacenter's prefix, upper case, as PVE draws one for every NIC that has none."""
        prefix = str(self.state["options"].get("mac_prefix", DEFAULT_MAC_PREFIX)).rstrip(":").split(":")
        octets = [f"{random.SystemRandom().randrange(256):02X}" for _ in range(6 - len(prefix))]
        return ":".join([*prefix, *octets]).upper()


def build(options: Options, runtime: GuestRuntime | None = None) -> Simulator:
    """The node as its state says; `runtime` None makes the one the options name."""
    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = State(options.state)
    faults = Faults()
    state.after_save = faults.saved
    if runtime is None:
        runtime = _runtime(options, state)
    storages = Storages(state, options.state)
    configs = Configs(state, options.node)
    host = Host(options)
    return Simulator(
        options=options,
        state=state,
        rights=Rights(state),
        identity=Identity(state),
        storages=storages,
        configs=configs,
        locks=ConfigLocks(options.pace),
        faults=faults,
        counters=Counters(),
        tasks=Tasks(state, faults, options.node, options.pace),
        host=host,
        runtime=runtime,
        broadcasts=Broadcasts(),
    )


def _runtime(options: Options, state: State) -> GuestRuntime:
    if options.runtime == "none":
        running = {int(vmid): int(started[0]) for vmid, started in state["started"].items()}
        return NoRuntime(lambda: [*present_bridges(), *options.bridges], running)
    from .namespaces import NamespaceRuntime  # noqa: PLC0415 - only Linux with root can use it

    if options.runtime_dir is None or options.guest_image is None:
        raise ValueError("namespaces need a directory and an image")
    return NamespaceRuntime(directory=options.runtime_dir, image=options.guest_image)
