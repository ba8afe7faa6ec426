#!/bin/sh
# own_machine.sh FOLDER GROUP own|shared COMMAND...: run COMMAND as if it had this machine for itself.
# It has its own processes (all end with it), mounts, control groups (below GROUP), temporary files, lab's state (both
# in FOLDER) and lab's lock; its own network with a loopback only, or the machine's. So its lab fits beside others.
set -eu
folder=$1 group=$2 network=$3
shift 3

temporary=/run/mgmt-tests # short: sockets are made there
mkdir -p "$folder/lib" "$folder/tmp" "$group" "$temporary"
: >"$folder/lock"
: >>/run/mgmt-lab.lock
echo $$ >"$group/cgroup.procs"

[ "$network" = shared ] || net=--net
exec unshare ${net:-} --mount --pid --fork --kill-child --cgroup --uts --ipc -- sh -euc '
    folder=$1 cgroups=$2 network=$3 temporary=$4
    shift 4
    mount --make-rprivate /
    mount -t proc proc /proc
    umount "$cgroups"
    mount -t cgroup2 cgroup2 "$cgroups"
    [ "$network" = shared ] || ip link set lo up
    mount --bind "$folder/lock" /run/mgmt-lab.lock
    mount --bind "$folder/tmp" "$temporary"
    # The lab removes its folder in /var/lib, which a mount point would not allow: so all of /var/lib is our own.
    for path in /var/lib/*/; do
        name=${path#/var/lib/} name=${name%/}
        [ "$name" != mgmt-lab ] || continue
        mkdir -p "$folder/lib/$name"
        mount --bind "$path" "$folder/lib/$name"
    done
    mount --rbind "$folder/lib" /var/lib
    TMPDIR=$temporary "$@" && ended=0 || ended=$?
    exit "$ended" # not exec: the first process has to take note of those that lost their parent
' sh "$folder" "${group%/*/*}" "$network" "$temporary" "$@"
