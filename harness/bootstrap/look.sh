# What bootstrap must know before it changes anything. Sections begin with a line "== name"; nothing is changed but a
# folder of our own below /tmp, which goes away again. $1: wanted version; standard input of apt: see below.
export LC_ALL=C
section() { printf '\n== %s\n' "$1"; }

section os
cat /etc/os-release
section manager
dpkg-query -W -f '${Status}|${Version}\n' pve-manager 2>&1
section cluster
for file in /etc/pve/corosync.conf /etc/corosync/corosync.conf; do
    if [ -e "$file" ]; then echo "$file"; fi
done
section members
cat /etc/pve/.members 2>/dev/null
section dpkg
# Somebody's apt may still be at it, such as that of a run that was killed: wait for its lock first.
apt-get -o DPkg::Lock::Timeout=60 check >/dev/null 2>&1
dpkg --audit
section held
apt-mark showhold
section pins
grep -H -E '^(Package|Pin):' /etc/apt/preferences /etc/apt/preferences.d/* 2>/dev/null
section disk
for folder in / /etc /var /var/lib/dpkg /var/cache /var/cache/apt/archives /var/lib/apt/lists /tmp; do
    if [ -d "$folder" ]; then printf '%s %s\n' "$folder" "$(df -P -B1 "$folder" | awk 'NR == 2 { print $4 }')"; fi
done
section nics
ls /sys/class/net
section storages
pvesh get /storage --output-format json 2>&1
section users
pvesh get /access/users --full 1 --output-format json 2>&1
section tokens
ls /var/lib/mgmt-harness/tokens 2>/dev/null
section keys
cat /etc/ssh/ssh_host_*_key.pub
section chrony
if [ -e /etc/chrony/chrony.conf ]; then echo chrony; fi

section repository
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/lists/partial" "$folder/cache"
printf '%s' "$SOURCES" >"$folder/sources"
if [ -n "$KEY" ]; then
    printf '%s' "$KEY" | base64 -d >"$folder/$KEY_NAME"
    sed -i "s#@KEY@#$folder/$KEY_NAME#" "$folder/sources"
fi
# apt reads as _apt, and must get at the key and the lists.
chmod -R a+rX "$folder"
apt() {
    "$@" -q -o Dir::Etc::sourcelist="$folder/sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$folder/lists" \
        -o Dir::Cache="$folder/cache" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Retries=0 \
        -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root 2>&1
}
apt apt-get update || echo "update ended with $?"
section offered
apt apt-cache madison pve-manager
section end
