"""proxmox-post-hook: tell whoever the answer names what was installed."""

import json
import pathlib
import socket
import subprocess
import sys
import tomllib

tables = tomllib.loads(pathlib.Path("/run/answer.toml").read_text())


def main(url):
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
    host, _, path = url.removeprefix("http://").partition("/")
    status = post(host, f"/{path}", json.dumps(body).encode())
    if not status.startswith("2"):
        sys.exit(f"Error: http status: {status}")


def post(host, path, body):
    name, _, port = host.partition(":")
    try:
        with socket.create_connection((name, int(port or 80)), timeout=60) as connection:
            head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json; charset=utf-8\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            return connection.recv(4096).decode().partition(" ")[2]
    except OSError as error:
        sys.exit(f"Error: {error}")


if "post-installation-webhook" in tables:
    main(tables["post-installation-webhook"]["url"])
