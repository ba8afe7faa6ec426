"""proxmox-fetch-answer: find the answer where the medium says, for the installer."""

import pathlib
import sys
import tomllib

MODE = pathlib.Path("/cdrom/auto-installer-mode.toml")
ANSWER = pathlib.Path("/cdrom/answer.toml")

mode = tomllib.loads(MODE.read_text())
if set(mode) - {"mode", "partition_label", "http"} or mode.get("mode") not in ("iso", "http", "partition"):
    sys.exit(f"Error: cannot read {MODE}: unknown field")
if mode["mode"] != "iso" or not ANSWER.exists():
    sys.exit("Aborting: Could not find any answer file!")
pathlib.Path("/run/answer.toml").write_bytes(ANSWER.read_bytes())
