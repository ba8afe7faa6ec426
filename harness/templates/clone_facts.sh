# What a clone says of its first boot: when it was, and which parts of its identity were there before. Changes nothing.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
say() { printf 'mgmt-harness %s\n' "$1"; }
ticks=$(getconf CLK_TCK 2>/dev/null) || ticks=100
# The start of PID 1, not of the kernel: what counts is when this system came up, also where it shares a kernel.
start=$(sed 's/.*) //' /proc/1/stat | awk '{ print $20 }')
btime=$(awk '$1 == "btime" { print $2 }' /proc/stat)
say "booted=$((btime + start / ticks))"
if [ -s /etc/machine-id ] && [ "$(cat /etc/machine-id)" != uninitialized ]; then
    say "machine-id=$(stat -c %Y /etc/machine-id)"
fi
for key in /etc/ssh/ssh_host_*_key; do
    [ ! -e "$key" ] || say "host-key=${key##*/} $(stat -c %Y "$key")"
done
say facts=whole
