"""Speak with a guest through the QEMU guest agent; one that is silent is not one that is forbidden."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError, TimedOut
from harness.pve.client import Client, Writer
from harness.pve.errors import Dropped, Rejected
from harness.wait import wait_until


class AgentSilent(HarnessError):
    """The agent does not answer (yet): the guest boots, hangs, or has none."""


class AgentForbids(HarnessError):
    """The agent answers and does not do this: the guest's own settings block the command."""


@dataclass(frozen=True)
class AgentNic:
    name: str
    mac: str  # lowercase
    addresses: tuple[str, ...]  # IPv4 with prefix length: 10.20.99.30/24


@dataclass(frozen=True)
class Executed:
    exit_code: int
    out: str
    err: str


# The last one: the agent hands a result out once. When that answer is lost on the way, its process is unknown to it.
_SILENT = re.compile(
    r"guest agent is not running|No QEMU guest agent configured|is not running|got timeout|Invalid parameter 'pid'"
)
_FORBIDDEN = re.compile(r"has been disabled|CommandNotFound|not been found|is not allowed|command .* disabled", re.I)


def read_nics(client: Client, node: str, vmid: int) -> tuple[AgentNic, ...]:
    """What the guest itself sees; loopback left out."""
    path = f"/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces"
    result = _result(lambda: client.get(path), vmid, "read the NICs of a guest")
    return tuple(
        AgentNic(
            name=str(nic["name"]),
            mac=str(nic["hardware-address"]).lower(),
            addresses=tuple(
                f"{found['ip-address']}/{found['prefix']}"
                for found in nic.get("ip-addresses", ())
                if found["ip-address-type"] == "ipv4"
            ),
        )
        for nic in result
        if nic.get("hardware-address") and nic["name"] != "lo"
    )


def read_hostname(client: Client, node: str, vmid: int) -> str:
    """What the guest calls itself, without its domain."""
    path = f"/nodes/{node}/qemu/{vmid}/agent/get-host-name"
    result = _result(lambda: client.get(path), vmid, "read the name of a guest")
    return str(result["host-name"]).partition(".")[0]


def read_file(client: Client, node: str, vmid: int, path: str) -> str:
    """A file of the guest, without running anything in it."""
    asked = f"/nodes/{node}/qemu/{vmid}/agent/file-read"
    return str(_answer(lambda: client.get(asked, {"file": path}), vmid, f"read {path} of a guest")["content"])


def run_script(
    writer: Writer, node: str, vmid: int, script: str, *, deadline_s: float, check: Callable[[], None] = lambda: None
) -> Executed:
    """Run `script` by /bin/sh in the guest, as root.

    The script must bear being run twice: when its answer is lost nobody can tell whether it ran.
    """
    base = f"/nodes/{node}/qemu/{vmid}/agent"
    tried = "run a script in a guest"
    started = _answer(lambda: writer.post(f"{base}/exec", {"command": ["/bin/sh"], "input-data": script}), vmid, tried)

    def look() -> tuple[dict[str, Any] | None, str]:
        check()
        status = _answer(lambda: writer.get(f"{base}/exec-status", {"pid": started["pid"]}), vmid, tried)
        return (status, "ended") if status.get("exited") else (None, "still running")

    waited = wait_until(look, deadline_s=deadline_s)
    if waited.value is None:
        raise TimedOut(
            tried=tried,
            on=f"VM {vmid}",
            happened=f"it is still running after {waited.seconds:.0f} s",
            do="Look into the guest, then run the same command again",
        )
    ended = waited.value
    code = ended.get("exitcode", -1)
    return Executed(int(code), str(ended.get("out-data", "")), str(ended.get("err-data", "")))


def _result(ask: Callable[[], Any], vmid: int, tried: str) -> Any:
    """The `result` of a simple command. PVE hands the agent's own error on with status 200."""
    result = _answer(ask, vmid, tried)["result"]
    if isinstance(result, dict) and "error" in result:
        raise _judged(str(result["error"].get("desc", result["error"])), vmid, tried, None)
    return result


def _answer(ask: Callable[[], Any], vmid: int, tried: str) -> Any:
    try:
        return ask()
    except Dropped as error:
        # pvedaemon drops the connection when the agent's error text is not plain ASCII (596 Broken pipe).
        raise AgentSilent(
            tried=tried, on=f"VM {vmid}", happened=error.happened, do="Run the same command again"
        ) from error
    except Rejected as error:
        raise _judged(error.words, vmid, tried, error) from error


def _judged(words: str, vmid: int, tried: str, error: HarnessError | None) -> HarnessError:
    if _FORBIDDEN.search(words):
        return AgentForbids(
            tried=tried,
            on=f"VM {vmid}",
            happened=words,
            do="Allow it in the guest (on Fedora: /etc/sysconfig/qemu-ga), or rely on SSH",
        )
    if _SILENT.search(words):
        return AgentSilent(
            tried=tried,
            on=f"VM {vmid}",
            happened=words,
            do="Wait for the guest to boot; if it stays so, install and start qemu-guest-agent in the template",
        )
    return error or HarnessError(tried=tried, on=f"VM {vmid}", happened=words, do="Look at the guest agent's log there")
