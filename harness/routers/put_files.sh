# Put files in place for the dnsmasq whose command line is given, and make it read them: all of it, or nothing.
# Arguments: reload or restart, then that command line. Standard input: a line "path new old" for each file, where a
# text is b: and base64, and - is no file; then a line "end".
set -u
trap '' HUP PIPE
PATH=$PATH:/usr/sbin:/sbin
how=$1
shift
fail() {
    echo "$*" >&2
    exit 1
}
# A run that was cut off may still be at work here: the next one waits for its end.
exec 9>/run/mgmt-harness-dnsmasq.lock && flock -w 30 9 || fail "another change is at work on this router"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat >"$work/list"
[ "$(tail -n 1 "$work/list")" = end ] || fail "the files arrived cut short; nothing was changed"

text() { printf %s "${1#b:}" | base64 -d; }
same() { # path text
    if [ "$2" = - ]; then [ ! -e "$1" ]; else [ -e "$1" ] && text "$2" | cmp -s - "$1"; fi
}
put() { # path text
    if [ "$2" = - ]; then
        rm -f "$1"
        return
    fi
    # dnsmasq reads no file of a folder whose name begins with a dot.
    new=$(dirname "$1")/.$(basename "$1").mgmt-new
    mkdir -p "$(dirname "$1")" || return
    if [ -e "$1" ]; then cp -p "$1" "$new"; else : >"$new" && chmod 644 "$new"; fi || return
    text "$2" >"$new" && mv "$new" "$1"
}
put_all() { # new or old
    while read -r path new old; do
        [ "$path" = end ] && return 0
        if [ "$1" = new ]; then put "$path" "$new"; else put "$path" "$old"; fi || return 1
    done <"$work/list"
}
# The processes with exactly this command line, in this network.
printf '%s\0' "$@" >"$work/wanted"
processes() {
    me=$(readlink /proc/self/ns/net)
    for d in /proc/[0-9]*; do
        [ "$(readlink "$d/ns/net" 2>/dev/null)" = "$me" ] || continue
        # Through a pipe: cmp believes the size that /proc gives, which is 0.
        cat "$d/cmdline" 2>/dev/null | cmp -s - "$work/wanted" && echo "${d#/proc/}"
    done
}
activate() {
    if [ "$how" = reload ]; then kill -HUP $pids; else systemctl reset-failed "$unit" && systemctl restart "$unit"; fi
}

pids=$(processes)
[ -n "$pids" ] || fail "the dnsmasq that was looked at does not run any more; nothing was changed"
if [ "$how" = restart ]; then
    unit=$(sed -n 's|.*/\([^/]*\.service\)$|\1|p' "/proc/${pids%%[!0-9]*}/cgroup" | head -n 1)
    [ -n "$unit" ] || fail "dnsmasq is not run by a systemd unit, so it cannot be restarted from here; nothing was changed"
fi
while read -r path new old; do
    [ "$path" = end ] || same "$path" "$old" || fail "$path was changed by somebody else meanwhile; nothing was changed"
done <"$work/list"

if put_all new && "$@" --test >"$work/said" 2>&1; then
    activate && exit 0
    echo "it could not be activated" >>"$work/said"
    put_all old && activate || fail "$(cat "$work/said"); the files before could not be put back"
else
    put_all old || fail "$(cat "$work/said"); the files before could not be put back"
fi
fail "$(tail -n 3 "$work/said"); the files before are back"
