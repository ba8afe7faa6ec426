"""How long PVE's own work takes at least, once the simulator is told to take its time as a recorded node did.

The node was PVE 8.4.1 with small disks (160 MiB) and without KVM; its client asked every 0.4 s whether a task had
ended. Of each kind it is the shortest time of those that did something. What is not here takes no time of its own:
a shutdown lasts as long as its guest, a change of a configuration (0.03 s) about what it takes here.
"""

from __future__ import annotations

from collections.abc import Mapping

INSTANT = "instant"
# Seconds by the type of the task.
RECORDED_S: Mapping[str, float] = {
    "qmclone": 0.5,  # linked: 0.49 to 0.66; a full one of 160 MiB 0.94 to 1.8, of a disk's size on a real node
    "qmstart": 1.0,  # 1.32 to 3.3, and 1 by the node's own clock
    "qmstop": 0.5,  # 0.48 to 3.1, of a VM that runs
    "qmdestroy": 0.5,  # 0.48 to 0.91, of a VM with a disk
    "qmcreate": 0.5,  # 0.49 to 1.04
    "qmrestore": 0.5,  # 0.54 to 1.02
    "qmtemplate": 0.5,  # 0.48 to 0.5
    "resize": 0.5,  # 0.51 to 0.52
    "imgcopy": 0.5,  # 0.5 to 0.75, for an upload of some MiB
    "imgdel": 0.5,  # 0.46 to 0.47
    "vzdump": 1.0,  # each VM in it, one after the other: 1 to 8 by the node's own log
}
WORK: Mapping[str, Mapping[str, float]] = {INSTANT: {}, "recorded": RECORDED_S}
