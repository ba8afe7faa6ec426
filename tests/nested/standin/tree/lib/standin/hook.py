"""proxmox-post-hook: tell whoever the answer names what was installed."""

import json
import pathlib
import subprocess
import sys
import tomllib
import urllib.request

tables = tomllib.loads(pathlib.Path("/run/answer.toml").read_text())
hook = tables.get("post-installation-webhook")
if hook is not None:
    print("Gathering installed system data ...")
    root = pathlib.Path("/run/target")
    subprocess.run(["mount", "-t", "ext4", "-o", "ro", "/dev/vda2", root], check=True)
    shown = subprocess.run(
        ["dropbearkey", "-y", "-f", root / "etc/dropbear/ed25519"], check=True, capture_output=True, text=True
    )
    subprocess.run(["umount", root], check=True)
    key = next(line for line in shown.stdout.splitlines() if line.startswith("ssh-ed25519"))
    body = {
        "$schema": {"version": "1.1"},
        "debian-version": "12.10",
        "product": {"fullname": "Proxmox VE", "short": "pve", "version": "8.4.0"},
        "iso": {"release": "8.4", "isorelease": "1"},
        "fqdn": tables["global"]["fqdn"],
        "filesystem": tables["disk-setup"]["filesystem"],
        "ssh-public-host-keys": {"ed25519": key},
    }
    request = urllib.request.Request(
        hook["url"], json.dumps(body).encode(), {"Content-Type": "application/json; charset=utf-8"}
    )
    try:
        urllib.request.urlopen(request, timeout=60)
    except OSError as error:
        sys.exit(f"Error: {error}")
