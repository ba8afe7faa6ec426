"""Imitate the HTTP API of Proxmox VE 8.4.1 for the lab: what is asked of a stand-alone node, answered as it answers.

Standard library only, imports nothing outside this folder, runs under Debian 12's own Python.

Start, from the checkout or (the folder copied to a place called `simulator`) inside the lab's hypervisor:

    python -m harness.lab.pve --state DIR --listen 127.0.0.1:0 --certificate PEM --key PEM --node hv01
    python3 -m simulator --state /var/lib/pve-simulator --listen [::]:8006 --certificate PEM --key PEM --node hv01
        --runtime namespaces --runtime-dir DIR --guest-image DIR --seed FILE

`--ca PEM` is shown as pve-root-ca.pem; `--address IP` is the node's own (else vmbr0's); `--runtime none` has guests
without processes; `--seed FILE` is read when DIR holds no state yet; `--pve-version` counts where dpkg knows no
pve-manager; `--bridges A,B` count as present beside the real ones; `--interfaces FILE` stands for
/etc/network/interfaces; `--pace F` is a factor on every waiting time of PVE's (3 s refusals, 10 s locks and
broadcasts). It prints `listening on https://...`, writes the port to DIR/port and tells systemd READY=1. SIGTERM ends
it and leaves the guests (KillMode=process in a unit).

State is DIR/state.json, replaced whole and synced at every change. A task that ran when the process was killed shows as
`unexpected status`, its half-made clone stays locked.

Seed (JSON, every key optional, secrets in files named relative to it):

    users    [{userid, password_file?, enable?, expire?, comment?, email?, groups?}]
    groups   [{groupid, comment?}]                    roles    {roleid: [privilege]}
    tokens   [{id: user@realm!name, secret_file, privsep?, expire?, comment?}]
    acl      [{path, roles, users?, groups?, tokens?, propagate?}]
    storages [{storage, type, content, path | thinpool+vgname, total_bytes?}]
    vms      [{vmid, config: {key: text as in a .conf file}}]
    volumes  [{volid, size, content?, vmid?, format?}] beside those the VMs name
    pools    [{poolid, comment?, vms?, storage?}]     jobs     [{id, schedule, storage, ...}]
    options  {key: text of datacenter.cfg}            running  [vmid]

Control (DIR/control.sock, one JSON object per line each way: {"ok": true, "result": ...}, {"ok": false, "error": ...};
`python -m harness.lab.pve.control SOCKET JSON` sends one):

    {"op": "counters"} {"op": "reset-counters"}       calls by method and template, and how many were writes
    {"op": "moments"}                                 how many requests came, how often the state was saved
    {"op": "writes"}                                  the writes: number, method, path, params, done, task, and when
                                                      each began and ended
    {"op": "tasks"}                                   when each task began and ended; PVE tells whole seconds
    {"op": "work", "work": "instant" | "recorded"}    how long tasks take that begin from now on: what they take here,
                                                      or at least what they took on a recorded node (durations.py)
    {"op": "fault", "kind": K, "method": "*", "path": REGEX, "times": 1, "at": 0, ...}   `at`: only that request.
        K: status (status, reason), lock, stall (seconds), drop-before/-after, reset-before/-after, cut, 596 (status,
        reason), 596-before, kill-before/-after (pid), crash-before/-after, snapshot-before/-after (text: its name);
        for tasks: task-fail (task, text), task-stall (task, seconds), task-warn (text), task-kill, task-crash;
        crash-saved (at: after so many saves of the state). A crash is SIGKILL for the simulator: power loss.
    {"op": "chaos", "seed": N, "share": 0.1, "calls": [FAULT, ...], "tasks": [FAULT, ...]}   each call and each task
        meets one of these with that chance, the same ones for the same seed
    {"op": "faults"} {"op": "clear-faults"}           chaos ends, too
    {"op": "snapshot", "name": S} {"op": "restore", "name": S}   the whole state; guests' disks are not in it
    {"op": "edit-config", "vmid": N, "set": {...}, "delete": [...]}             the file behind the API's back
    {"op": "fill-storage", "storage": S, "available_bytes": N | null}           a thin pool's map: seed its storage
        again with `metadata_bytes` and `metadata_used_bytes`
    {"op": "hold-lock", "vmid": N, "seconds": S}      another process has the configuration's lock
    {"op": "kill-task", "upid": U}                    the worker dies as by SIGKILL
    {"op": "remove-volume", "volid": V}               the disk's file is gone
    {"op": "broadcast", "regular": true, "except": [VMID]}   one round of pvestatd now
    {"op": "seed", "seed": {...}, "directory": DIR}   more of the seed format

Tools (DIR/pvesh.sock, root only): {"program": "pvesh", "argv": ["get", "/version"]} is answered as root@pam with
{"stdout", "stderr", "code"}; /usr/bin/pvesh and /usr/sbin/pveum of the stand-in package send their arguments there.
Calls are counted, and faults hold for them, as for those over HTTPS.

A backup is a real file below the storage's `dump`, with PVE's name and in it the configuration and what was on the
guest's disk; a restore brings that back. An image to import is a real qcow2 or raw file whose first bytes are a tar
file of the guest's file tree (`disk_images.write` makes one); any other image gives a disk with nothing on it.

Not imitated yet: snapshots, move_disk, containers, writes of network, DNS and time; nobody runs backup jobs.
"""
