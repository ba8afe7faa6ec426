"""The script with which the hypervisor starts management VMs again by itself, in the declared order."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from harness.contract import Contract, Guest

# A VM that is just being shut down would be taken for a running one, and then be left off. `startall` goes by the
# order and the delays of the VMs' own configuration; `force` takes those in, too, that do not start with the node.
_SCRIPT = """\
set -eu
node={node} vms={vms}
power='"type" *: *"(stopall|qmshutdown|startall|qmstart)"'
tries=0
while pvesh get "/nodes/$node/tasks" --source active --output-format json | grep -qE "$power"; do
    tries=$((tries + 1))
    if [ "$tries" -gt {patience_s} ]; then break; fi
    sleep 1
done
pvesh create "/nodes/$node/startall" --vms "$vms" --force 1
for vm in $(echo "$vms" | tr , ' '); do
    if ! pvesh get "/nodes/$node/qemu/$vm/status/current" --output-format json | grep -q '"status" *: *"running"'; then
        echo "VM $vm does not run"
        exit 1
    fi
done
"""


def render_start(contract: Contract, guests: Iterable[Guest], *, patience_s: int = 120) -> str:
    """What runs already is left alone."""
    vms = ",".join(str(guest.vmid) for guest in guests)
    return _SCRIPT.format(node=shlex.quote(contract.hypervisor.node), vms=shlex.quote(vms), patience_s=patience_s)


def start_takes_s(guests: Iterable[Guest]) -> int:
    """How long starting all of them may take: PVE waits after each, and a start itself takes its time."""
    return sum((guest.start_delay_s or 0) + 15 for guest in guests)
