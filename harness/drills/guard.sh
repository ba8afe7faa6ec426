#!/bin/sh
# guard ACTION: the hypervisor undoes by itself what a drill changed there, unless the drill has done so in time.
#
#   arm NAME SECONDS   keep the undo script that comes on standard input, and run it SECONDS from now, or that long
#                      after the next start of this machine
#   undo               run it now, once; what it said and how it ended stays to be read. Also what the timer does
#   disarm             nothing is left to undo: forget it
#   state              armed NAME TIME, undone NAME TIME, failed NAME TIME with the script's words, or nothing
set -eu
folder=/var/lib/mgmt-harness/drill
units=/etc/systemd/system
unit=mgmt-harness-drill

now() { date +%Y-%m-%dT%H:%M:%S%z; }

forget_timer() {
    systemctl disable --quiet --now "$unit.timer"
    rm -f "$units/$unit.timer" "$units/$unit.service"
    systemctl daemon-reload
}

arm() {
    if [ -e "$folder/armed" ]; then
        echo "the drill $(cat "$folder/armed") is under way, or was cut off" >&2
        exit 1
    fi
    mkdir -p -m 700 "$folder"
    rm -f "$folder/ended"
    cat >"$folder/undo"
    cp "$0" "$folder/guard"
    cat >"$units/$unit.service" <<END
[Unit]
Description=Undo what a drill of the management plane left behind
After=network.target pveproxy.service pve-guests.service

[Service]
Type=oneshot
ExecStart=/bin/sh $folder/guard undo
END
    cat >"$units/$unit.timer" <<END
[Unit]
Description=Until when a drill of the management plane must have undone what it changed

[Timer]
OnActiveSec=$2
AccuracySec=1s

[Install]
WantedBy=timers.target
END
    echo "$1 $(now)" >"$folder/armed.new"
    mv "$folder/armed.new" "$folder/armed"
    systemctl daemon-reload
    systemctl enable --quiet --now "$unit.timer"
}

undo() {
    exec 9>"$folder/lock"
    flock 9 # the timer and the drill may both come at once: the second finds it done
    if [ ! -e "$folder/armed" ]; then return 0; fi
    name=$(cut -d' ' -f1 "$folder/armed")
    if sh "$folder/undo" >"$folder/said" 2>&1; then how=undone; else how=failed; fi
    { echo "$how $name $(now)"; tail -n 5 "$folder/said"; } >"$folder/ended"
    if [ "$how" = failed ]; then
        cat "$folder/ended" >&2
        exit 1
    fi
    rm -f "$folder/armed"
    forget_timer
}

case $1 in
arm) arm "$2" "$3" ;;
undo) if [ -d "$folder" ]; then undo; fi ;;
disarm)
    if [ -e "$folder/armed" ]; then forget_timer; fi
    rm -rf "$folder"
    ;;
state)
    if [ -e "$folder/ended" ]; then
        cat "$folder/ended"
    elif [ -e "$folder/armed" ]; then
        echo "armed $(cat "$folder/armed")"
    fi
    ;;
esac
