"""Speak the QEMU guest agent's protocol on its socket: resynchronise first, then one command and its answer."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .runtime import AgentError, AgentNotRunning

SENTINEL = b"\xff"  # stands before the answer to guest-sync-delimited: whatever came earlier is somebody else's


def ask_agent(path: Path, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:
    """The `return` value of one command; AgentNotRunning when nothing answers in time."""
    deadline = time.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(timeout_s)
            channel.connect(str(path))
            _synchronise(channel, deadline)
            request = {"execute": command, **({"arguments": dict(arguments)} if arguments else {})}
            channel.sendall(json.dumps(request).encode() + b"\n")
            return _result(json.loads(_read_line(channel, b"", deadline)))
    except (OSError, EOFError) as error:
        raise AgentNotRunning(f"no answer on {path.name}: {error}") from error


def _synchronise(channel: socket.socket, deadline: float) -> None:
    token = secrets.randbelow(2**31)
    request = {"execute": "guest-sync-delimited", "arguments": {"id": token}}
    # The sentinel in front makes the agent drop a half command an earlier client may have left.
    channel.sendall(SENTINEL + json.dumps(request).encode() + b"\n")
    received = b""
    while True:
        while SENTINEL not in received:
            received += _receive(channel, deadline)
        line = _read_line(channel, received.partition(SENTINEL)[2], deadline)
        if json.loads(line).get("return") == token:
            return
        received = b""


def _read_line(channel: socket.socket, received: bytes, deadline: float) -> bytes:
    while b"\n" not in received:
        received += _receive(channel, deadline)
    return received


def _receive(channel: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    channel.settimeout(left)
    received = channel.recv(65536)
    if not received:
        raise EOFError("the agent closed the connection")
    return received


def _result(answer: dict[str, Any]) -> object:
    if "error" in answer:
        raise AgentError(answer["error"].get("class", "GenericError"), answer["error"].get("desc", ""))
    return answer["return"]
