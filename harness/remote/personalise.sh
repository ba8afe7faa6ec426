# Gives a clone its own hostname, machine-id and SSH host keys. Run as root; HOSTNAME_WANTED and FQDN_WANTED come first.
# What was made is remembered in MARK together with the VM it was made for, so that a second run changes nothing and a
# clone of this guest is made itself again. MARK is written last: a run that was cut off is repeated as a whole.
set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
STATE=/var/lib/mgmt-harness
MARK=$STATE/identity
KEYS=/etc/ssh
say() { printf 'mgmt-harness %s\n' "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }
[ "$(id -u)" = 0 ] || { echo "must be run as root" >&2; exit 1; }
systemd=no
[ -d /run/systemd/system ] && systemd=yes

# PVE gives every clone a new SMBIOS UUID. Where the firmware shows none, the name alone is the identity.
vm=none
[ ! -r /sys/class/dmi/id/product_uuid ] || vm=$(tr 'A-F' 'a-f' </sys/class/dmi/id/product_uuid)
machine_id=
[ ! -r /etc/machine-id ] || machine_id=$(cat /etc/machine-id)
identity="guest=$HOSTNAME_WANTED vm=$vm machine-id=$machine_id"
own=no
[ -f "$MARK" ] && [ "$(cat "$MARK")" = "$identity" ] && own=yes

if [ "$own" = no ]; then
    machine_id=$(tr -d - </proc/sys/kernel/random/uuid)
    rm -f /etc/machine-id.new
    printf '%s\n' "$machine_id" >/etc/machine-id.new
    chmod 0444 /etc/machine-id.new
    # Where machine-id is a mount of its own, it can be written but not replaced.
    mv -f /etc/machine-id.new /etc/machine-id 2>/dev/null || {
        cat /etc/machine-id.new >/etc/machine-id
        rm -f /etc/machine-id.new
    }
    [ ! -d /var/lib/dbus ] || ln -sf /etc/machine-id /var/lib/dbus/machine-id
    say changed=machine-id

    # Every type the template had, and ed25519. Each new pair is complete before it takes the old one's place.
    for pair in ed25519 ecdsa rsa; do
        key=$KEYS/ssh_host_${pair}_key
        [ "$pair" = ed25519 ] || [ -e "$key" ] || continue
        rm -f "$key.new" "$key.new.pub"
        ssh-keygen -q -t "$pair" -N '' -C "root@$HOSTNAME_WANTED" -f "$key.new"
        mv -f "$key.new.pub" "$key.pub"
        mv -f "$key.new" "$key"
    done
    for key in "$KEYS"/ssh_host_*_key; do
        case $key in
        *_ed25519_key | *_ecdsa_key | *_rsa_key) ;;
        *) rm -f "$key" "$key.pub" ;;
        esac
    done
    say changed=host-keys
fi

if [ ! -e /etc/hostname ] || [ "$(cat /etc/hostname)" != "$HOSTNAME_WANTED" ] || [ "$(uname -n)" != "$HOSTNAME_WANTED" ]; then
    # hostnamed also tells those who watch the name, but it needs D-Bus; the file and the kernel are what counts.
    if [ "$systemd" = no ] || ! hostnamectl set-hostname "$HOSTNAME_WANTED" >/dev/null 2>&1; then
        printf '%s\n' "$HOSTNAME_WANTED" >/etc/hostname
        hostname "$HOSTNAME_WANTED"
    fi
    say changed=hostname
fi
# Debian's own line for the machine's name, where the template has one; Fedora has none and needs none.
if grep -q '^127\.0\.1\.1[[:space:]]' /etc/hosts && ! grep -q "^127\.0\.1\.1 $FQDN_WANTED $HOSTNAME_WANTED\$" /etc/hosts; then
    sed "s/^127\.0\.1\.1[[:space:]].*/127.0.1.1 $FQDN_WANTED $HOSTNAME_WANTED/" /etc/hosts >/etc/hosts.new
    cat /etc/hosts.new >/etc/hosts
    rm -f /etc/hosts.new
    say changed=hostname
fi

# networkd's DHCP client-id comes from the machine-id. It would change at some later restart, and a router that
# remembers the old id would take the guest for somebody else; the reservation is for the MAC, so is the id from here on.
# NetworkManager uses the MAC already.
renew=no
if [ "$systemd" = yes ] && has networkctl && systemctl -q is-active systemd-networkd; then
    for file in $(networkctl --no-pager status --all 2>/dev/null | sed -n 's/^ *Network File: //p' | sort -u); do
        case $file in /*.network) ;; *) continue ;; esac
        grep -qi '^ *DHCP *= *\(yes\|true\|ipv4\|both\|on\|1\)' "$file" || continue
        drop_in=/etc/systemd/network/${file##*/}.d/50-mgmt-harness.conf
        [ ! -e "$drop_in" ] || continue
        mkdir -p "${drop_in%/*}"
        printf '[DHCPv4]\nClientIdentifier=mac\n' >"$drop_in"
        renew=yes
    done
fi

! has restorecon || restorecon -F "$KEYS"/ssh_host_* /etc/machine-id /etc/hostname

again= # what has to start again, all at once: each of them takes a while
if [ "$own" = no ]; then
    # The keys are on the disk before anybody is told of them.
    sync
    if [ "$systemd" = yes ]; then
        # Whichever name this system has; open connections, also the one this may run over, outlive it.
        for unit in sshd.service ssh.service; do
            ! systemctl -q is-active "$unit" || { again=$unit; break; }
        done
        # journald writes to a folder named after the machine-id it was started with.
        again="$again systemd-journald.service"
    elif [ -r /run/sshd.pid ]; then
        kill -HUP "$(cat /run/sshd.pid)"
    fi
fi
if [ "$renew" = yes ]; then
    # A restart keeps the address (networkd is told that it is one), a stop and start would not.
    again="$again systemd-networkd.service"
    say changed=network
fi
# shellcheck disable=SC2086 # each word is a unit
[ -z "$again" ] || systemctl try-restart $again

if [ "$own" = no ]; then
    mkdir -p "$STATE"
    printf '%s\n' "guest=$HOSTNAME_WANTED vm=$vm machine-id=$machine_id" >"$MARK.new"
    mv -f "$MARK.new" "$MARK"
    sync
fi
say "hostname=$(uname -n)"
say "machine-id=$(cat /etc/machine-id)"
for key in "$KEYS"/ssh_host_*_key.pub; do
    say "host-key=$(cut -d' ' -f1,2 "$key")"
done
say done=yes
