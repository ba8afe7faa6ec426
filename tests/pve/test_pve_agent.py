"""The guest agent is asked by what a real one answers: silence, a ban, its own errors, and work that takes a while."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from harness.errors import HarnessError, TimedOut
from harness.pve import agent
from harness.pve.agent import AgentForbids, AgentNic, AgentSilent
from harness.pve.client import Writer, connect
from harness.pve.errors import Forbidden
from tests.pve.served import SECRET, Answer, Served

BASE = "/nodes/hv01/qemu/150/agent"
NICS = f"GET {BASE}/network-get-interfaces"
LO = {
    "name": "lo",
    "hardware-address": "00:00:00:00:00:00",
    "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}],
}
ETH0 = {
    "name": "eth0",
    "hardware-address": "02:DE:01:05:00:01",
    "ip-addresses": [
        {"ip-address-type": "ipv4", "ip-address": "10.77.0.151", "prefix": 24},
        {"ip-address-type": "ipv6", "ip-address": "fe80::de:1ff:fe05:1", "prefix": 64},
    ],
}


@pytest.fixture
def writer(served: Served) -> Writer:
    return connect(served.api(), purpose="provision", secret=SECRET, read_only=False)


def test_reads_what_the_guest_sees(served: Served, writer: Writer) -> None:
    served.say(NICS, Answer({"result": [LO, ETH0, {"name": "sit0"}]}))
    nics = agent.read_nics(writer, "hv01", 150)
    assert nics == (AgentNic("eth0", "02:de:01:05:00:01", ("10.77.0.151/24",)),)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=500, reason="QEMU guest agent is not running"), AgentSilent),
        (Answer(status=500, reason="No QEMU guest agent configured"), AgentSilent),
        (Answer(status=500, reason="VM 150 is not running"), AgentSilent),
        (
            Answer(status=500, reason="VM 150 qmp command 'guest-network-get-interfaces' failed - got timeout"),
            AgentSilent,
        ),
        (Answer(status=596, reason="Broken pipe"), AgentSilent),
        (
            Answer(status=500, reason="Agent error: Command guest-exec has been disabled for this instance"),
            AgentForbids,
        ),
        (
            Answer(
                {"result": {"error": {"class": "CommandNotFound", "desc": "The command guest-x has not been found"}}}
            ),
            AgentForbids,
        ),
        (Answer({"result": {"error": {"class": "GenericError", "desc": "something else"}}}), HarnessError),
        (Answer(status=403, reason="Permission check failed (/vms/150, VM.Monitor)"), Forbidden),
    ],
)
def test_silence_is_not_a_ban(served: Served, writer: Writer, answer: Answer, kind: type[HarnessError]) -> None:
    served.say(NICS, answer)
    with pytest.raises(HarnessError) as caught:
        agent.read_nics(writer, "hv01", 150)
    assert type(caught.value) is kind


def test_runs_a_script_and_waits_for_its_end(served: Served, writer: Writer) -> None:
    served.say(f"POST {BASE}/exec", Answer({"pid": 194}))
    ended = {"err-data": "err\n", "exited": 1, "out-data": "out\n", "exitcode": 3, "out-truncated": 0}
    served.say(f"GET {BASE}/exec-status", Answer({"exited": 0}), Answer(ended))
    executed = agent.run_script(writer, "hv01", 150, "echo out\necho err >&2\nexit 3\n", deadline_s=5)
    assert (executed.exit_code, executed.out, executed.err) == (3, "out\n", "err\n")
    sent = parse_qs(served.asked[0].body)
    assert sent == {"command": ["/bin/sh"], "input-data": ["echo out\necho err >&2\nexit 3\n"]}
    assert served.asked[1].path == f"{BASE}/exec-status?pid=194"


def test_a_script_ended_by_a_signal_has_not_succeeded(served: Served, writer: Writer) -> None:
    served.say(f"POST {BASE}/exec", Answer({"pid": 194}))
    served.say(f"GET {BASE}/exec-status", Answer({"exited": 1, "signal": 9}))
    assert agent.run_script(writer, "hv01", 150, "x", deadline_s=5).exit_code != 0


def test_a_script_that_does_not_end(served: Served, writer: Writer) -> None:
    served.say(f"POST {BASE}/exec", Answer({"pid": 194}))
    served.say(f"GET {BASE}/exec-status", Answer({"exited": 0}))
    with pytest.raises(TimedOut, match="still running"):
        agent.run_script(writer, "hv01", 150, "x", deadline_s=0.2)


def test_a_lost_answer_does_not_run_the_script_twice(served: Served, writer: Writer) -> None:
    """Whether to run it again is for the caller, who knows whether the script bears it."""
    served.say(f"POST {BASE}/exec", Answer(cut="after"))
    with pytest.raises(AgentSilent):
        agent.run_script(writer, "hv01", 150, "x", deadline_s=1)
    assert served.times(f"POST {BASE}/exec") == 1


def test_a_lost_result_is_not_a_verdict_on_the_script(served: Served, writer: Writer) -> None:
    """The agent hands a result out once; asked again it knows no such process."""
    served.say(f"POST {BASE}/exec", Answer({"pid": 192}))
    forgotten = Answer(status=500, reason="Agent error: Invalid parameter 'pid'")
    served.say(f"GET {BASE}/exec-status", Answer(status=596, reason="Broken pipe"), forgotten)
    with pytest.raises(AgentSilent):
        agent.run_script(writer, "hv01", 150, "x", deadline_s=5)


def test_reads_a_file_of_the_guest(served: Served, writer: Writer) -> None:
    served.say(f"GET {BASE}/file-read", Answer({"content": "line 1\nline 2\n", "bytes-read": 14}))
    assert agent.read_file(writer, "hv01", 150, "/etc/hostname") == "line 1\nline 2\n"
