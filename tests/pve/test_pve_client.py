"""The client reaches only the pinned machine, names every failure, and sends no write twice."""

from __future__ import annotations

import dataclasses
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from harness.contract import SecretRef
from harness.errors import HarnessError, Invalid, Refused, Unreachable, Untrusted
from harness.evidence import Evidence, Secret
from harness.pve.client import IN_FLIGHT, Client, ReadOnly, Writer, connect, require_reader
from harness.pve.errors import (
    Absent,
    BadParameters,
    Conflict,
    DaemonDown,
    Dropped,
    Expired,
    Locked,
    Rejected,
    Stalled,
    Undelivered,
)
from harness.pve.retrying import READ_TRIES
from harness.tls import parse_fingerprint
from tests.pve.served import SECRET, TOKEN_ID, Answer, Served, make_certificate

VERSION = Answer({"release": "8.4", "repoid": "2a5fa54a8503f96d", "version": "8.4.1"})


def reader(served: Served, evidence: Evidence | None = None) -> Client:
    return connect(served.api(), purpose="verify", secret=SECRET, evidence=evidence, read_only=True)


def writer(served: Served) -> Writer:
    return connect(served.api(), purpose="provision", secret=SECRET, read_only=False)


def failure_of(served: Served, answer: Answer, *, write: bool = False) -> HarnessError:
    served.say("GET /x", answer)
    served.say("PUT /x", answer)
    with pytest.raises(HarnessError) as caught:
        writer(served).put("/x", {"a": 1}) if write else reader(served).get("/x")
    return caught.value


def test_those_who_ask_at_once_share_one_answer(served: Served) -> None:
    served.say("GET /version", VERSION)
    client = reader(served)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/version", cached=True), range(8)))
    assert answers == [VERSION.data] * 8
    assert served.times("GET /version") == 1
    client.get("/version")
    assert served.times("GET /version") == 2


def test_reads_through_a_pinned_fingerprint_and_records_it(served: Served) -> None:
    served.say("GET /version", VERSION)
    evidence = Evidence()
    assert reader(served, evidence).get("/version")["version"] == "8.4.1"
    assert [(fact.source, fact.asked) for fact in evidence.facts] == [("api", "GET /version")]
    assert evidence.facts[0].answered == '{"release":"8.4","repoid":"2a5fa54a8503f96d","version":"8.4.1"}'
    assert served.asked[0].headers["Authorization"] == f"PVEAPIToken={TOKEN_ID}={SECRET.reveal()}"


def test_reads_through_a_certificate_authority(served: Served) -> None:
    served.say("GET /version", VERSION)
    client = connect(served.api(ca=True), purpose="verify", secret=SECRET, read_only=True)
    assert client.get("/version")["release"] == "8.4"


def test_another_certificate_is_not_trusted_and_hears_nothing(served: Served) -> None:
    served.say("GET /version", VERSION)
    api = served.api(fingerprint="AB" * 32)
    with pytest.raises(Untrusted, match="SHA-256 fingerprint") as caught:
        connect(api, purpose="verify", secret=SECRET, read_only=True).get("/version")
    assert parse_fingerprint(served.fingerprint) in str(caught.value)
    assert "openssl x509" in caught.value.do
    assert served.asked == []


def test_another_authority_is_not_trusted(served: Served, tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "other")
    api = dataclasses.replace(served.api(ca=True), ca_file=certificate)
    with pytest.raises(Untrusted, match="certificate verify failed"):
        connect(api, purpose="verify", secret=SECRET, read_only=True).get("/version")
    assert served.asked == []


def test_the_environment_cannot_weaken_or_divert(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests would take proxies and CA bundles from there."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    served.say("GET /version", VERSION)
    assert reader(served).get("/version")["version"] == "8.4.1"


def test_without_a_pin_there_is_no_client(served: Served) -> None:
    api = dataclasses.replace(served.api(), fingerprint=SecretRef("file", "fingerprint.txt"))
    with pytest.raises(Invalid, match="no switch that turns the check off"):
        connect(api, purpose="verify", secret=SECRET, read_only=True)
    text = f"sha256 Fingerprint={parse_fingerprint(served.fingerprint)}\n"
    served.say("GET /version", VERSION)
    client = connect(api, purpose="verify", secret=SECRET, read_only=True, fingerprint=text)
    assert client.get("/version")["version"] == "8.4.1"


def test_plain_http_is_refused_before_anything_is_sent(served: Served) -> None:
    api = dataclasses.replace(served.api(), url="http://127.0.0.1:8006")
    with pytest.raises(Invalid, match="https"):
        connect(api, purpose="verify", secret=SECRET, read_only=True)


@pytest.mark.parametrize("text", ["", "AA:BB", "zz" * 32, "AA" * 31])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a SHA-256 fingerprint"):
        parse_fingerprint(text)


def test_tls_warnings_of_the_process_stay_on() -> None:
    """proxmoxer switches them off when it is imported."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("seen", urllib3.exceptions.InsecureRequestWarning, stacklevel=1)
    assert len(seen) == 1


def test_a_reading_client_has_no_way_to_write(served: Served) -> None:
    client = reader(served)
    assert not any(hasattr(client, name) for name in ("post", "put", "delete"))


def test_no_secret_is_shown(served: Served) -> None:
    error = failure_of(served, Answer(status=401, reason="invalid token value!", body=b""))
    shown = f"{reader(served)!r} {error!r} {error} {error.__cause__!r}"
    assert SECRET.reveal() not in shown


def test_a_wrong_token_names_the_token_and_where_its_secret_is(served: Served) -> None:
    error = failure_of(served, Answer(status=401, reason="invalid token value!", body=b""))
    assert isinstance(error, Refused)
    assert "401 invalid token value!" in error.happened
    assert TOKEN_ID in error.tried
    assert "/etc/secrets/verify.token" in error.do


def test_a_missing_privilege_is_named_with_its_path(served: Served) -> None:
    error = failure_of(served, Answer(status=403, reason="Permission check failed (/vms/101, VM.Clone)"), write=True)
    assert isinstance(error, Refused)
    assert "(/vms/101, VM.Clone)" in error.happened
    assert (
        "pveum acl modify /vms/101 --roles MgmtProvision --users verify@pve --tokens 'verify@pve!harness'" in error.do
    )


def test_a_privilege_that_the_token_must_not_have_is_not_advised(served: Served) -> None:
    error = failure_of(served, Answer(status=403, reason="Permission check failed (/vms/101, VM.Monitor)"))
    assert f"{TOKEN_ID} is not meant to have VM.Monitor on /vms/101" in error.do


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (500, "Configuration file 'nodes/hv01/qemu-server/999.conf' does not exist", Absent),
        (500, "unable to find configuration file for VM 999 on node 'hv01'", Absent),
        (500, "can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout", Locked),
        (500, "VM is locked (clone)", Locked),
        (500, "checksum mismatch (file change by other user?)", Conflict),
        (500, "unable to create VM 122: config file already exists", Rejected),
        (500, "VM 100 qmp command 'guest-exec' failed - got timeout", Rejected),
        (424, "node is not in a cluster, no join info available!", Rejected),
        (501, "Method 'GET /nodes/hv01/foo' not implemented", Rejected),
        (503, "Service Unavailable", Dropped),
        (500, "ipcc_send_rec[1] failed: Connection refused", Dropped),
        (595, "Connection refused", DaemonDown),
        (596, "Broken pipe", Dropped),
        (599, "Too many redirections", Dropped),
    ],
)
def test_pves_words_decide_the_kind(
    served: Served, status: int, reason: str, kind: type[HarnessError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.pve.retrying.RESTART_S", 0.0)
    error = failure_of(served, Answer(status=status, reason=reason), write=True)
    assert type(error) is kind
    assert reason in error.happened


def test_bad_parameters_are_all_named(served: Served) -> None:
    texts = {"name": "invalid format - value does not look like a valid DNS name\n", "newid": "property is missing"}
    error = failure_of(served, Answer(status=400, reason="Parameter verification failed.", errors=texts))
    assert isinstance(error, BadParameters)
    assert error.parameters["newid"] == "property is missing"
    assert "name: invalid format - value does not look like a valid DNS name; newid: property is missing" in str(error)


def test_the_whole_message_is_told_not_its_first_line(served: Served) -> None:
    body = b'{"data":null,"message":"first line\\nsecond line\\n"}'
    error = failure_of(served, Answer(status=500, reason="first line", body=body))
    assert "first line\nsecond line" in error.happened


def nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"https://127.0.0.1:{free.getsockname()[1]}"


def test_nobody_there() -> None:
    served = Served(nowhere(), Path("/nowhere"), "AB" * 32)
    with pytest.raises(Unreachable, match="nobody answers there") as caught:
        reader(served).get("/version")
    assert type(caught.value) is Undelivered
    assert served.url in str(caught.value)


def test_a_silent_machine_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.tls.READ_LIMIT_S", 0.1)
    monkeypatch.setattr("harness.tls.CONNECT_LIMIT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        served = Served(f"https://127.0.0.1:{deaf.getsockname()[1]}", Path("/nowhere"), "AB" * 32)
        with pytest.raises(Unreachable):
            reader(served).get("/version")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>It works!</html>"),
        Answer(body=b"[1, 2]"),
        Answer(status=302, reason="Found", headers=(("Location", "https://elsewhere/"),)),
    ],
    ids=["html", "no envelope", "redirect"],
)
def test_another_web_server_is_not_taken_for_pve(served: Served, answer: Answer) -> None:
    error = failure_of(served, answer)
    assert isinstance(error, Unreachable)
    assert "not as PVE's API does" in str(error)


@pytest.mark.parametrize(
    "lost",
    [
        Answer(cut="before"),
        Answer(cut="damaged"),
        Answer(status=596, reason="Broken pipe"),
        Answer(status=500, reason="VM is locked (backup)"),
    ],
    ids=["cut", "damaged", "596", "locked"],
)
def test_a_lost_read_is_asked_again_and_the_record_says_so(served: Served, lost: Answer) -> None:
    served.say("GET /version", lost, VERSION)
    client = reader(served)
    assert client.get("/version")["version"] == "8.4.1"
    assert served.times("GET /version") == 2
    assert len(client.counts.retries) == 1
    assert client.counts.retries[0].startswith("GET /version: ")


def test_a_stalled_read_is_asked_once_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.tls.READ_LIMIT_S", 0.02)
    served.say("GET /slow", VERSION)
    with pytest.raises(Stalled, match="no answer came in time"):
        reader(served).get("/slow")
    assert served.times("GET /slow") == 2


def test_a_read_is_not_asked_for_ever(served: Served) -> None:
    served.say("GET /version", Answer(status=596, reason="Broken pipe"))
    with pytest.raises(Dropped):
        reader(served).get("/version")
    assert served.times("GET /version") == READ_TRIES


def test_a_daemon_that_dies_while_a_connection_is_made_was_not_something_else() -> None:
    greeted: list[bytes] = []

    def die_of(listener: socket.socket) -> None:
        while len(greeted) < READ_TRIES:
            connection, _ = listener.accept()
            with connection:
                greeted.append(connection.recv(65536))  # all of the greeting: what is left unread would be a reset

    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Served(f"https://127.0.0.1:{listener.getsockname()[1]}", Path("/nowhere"), "AB" * 32)
        dying = threading.Thread(target=die_of, args=[listener], daemon=True)
        dying.start()
        with pytest.raises(Dropped, match=r"the connection was cut \(.*EOF"):
            reader(served).get("/version")
        dying.join(timeout=5)
    assert len(greeted) == READ_TRIES


@pytest.mark.parametrize(
    "lost",
    [Answer(cut="after"), Answer(cut="damaged"), Answer(status=596, reason="Broken pipe")],
    ids=["cut", "damaged", "596"],
)
def test_a_lost_write_is_sent_once_and_said_to_be_uncertain(served: Served, lost: Answer) -> None:
    served.say("PUT /x", lost)
    with pytest.raises(Dropped, match="whether the change was made is not known"):
        writer(served).put("/x", {"onboot": True})
    assert served.times("PUT /x") == 1


@pytest.mark.parametrize("kind", ["GET", "PUT"])
def test_what_did_not_arrive_is_sent_again(served: Served, kind: str) -> None:
    served.say(f"{kind} /x", Answer(status=595, reason="Connection refused"), Answer(1))
    client = writer(served)
    assert (client.get("/x") if kind == "GET" else client.put("/x", {"a": 1})) == 1
    assert served.times(f"{kind} /x") == 2
    (said,) = client.counts.retries
    assert said.startswith(f"{kind} /x: PVE's proxy could not reach its daemon (595 Connection refused)")


def test_a_locked_write_is_the_callers_to_repeat(served: Served) -> None:
    served.say("PUT /x", Answer(status=500, reason="VM is locked (backup)"), Answer(1))
    with pytest.raises(Locked):
        writer(served).put("/x")
    assert served.times("PUT /x") == 1


def test_a_daemon_that_stays_away_is_given_up_in_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.pve.retrying.RESTART_S", 0.5)
    served.say("GET /x", Answer(status=595, reason="Connection refused"))
    with pytest.raises(DaemonDown):
        reader(served).get("/x")
    assert 2 <= served.times("GET /x") <= 4


def test_who_was_there_is_waited_for_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.pve.retrying.RESTART_S", 0.3)
    served.say("GET /version", VERSION)
    client = reader(served)
    client.get("/version")
    client.url = nowhere()
    for tries in (3, 1):
        client.counts.reads = 0
        with pytest.raises(Undelivered, match="nobody answers there"):
            client.get("/version")
        assert client.counts.reads <= tries


@pytest.mark.parametrize("beside", [False, True])
def test_who_answered_a_client_is_waited_for_by_the_one_beside_it(
    served: Served, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    monkeypatch.setattr("harness.pve.retrying.RESTART_S", 0.3)
    served.say("GET /version", VERSION)
    reading, client = reader(served), writer(served)
    if beside:
        client.beside(reading)
    reading.get("/version")
    client.url = nowhere()
    with pytest.raises(Undelivered, match="nobody answers there"):
        client.get("/access/permissions")
    assert (client.counts.reads > 1) == beside


def test_a_ticket_that_pve_refuses_is_renewed_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.pve.auth.JUST_FETCHED_S", 0.0)
    served.say(
        "POST /access/ticket",
        *(Answer({"ticket": f"PVE:root@pam:{at}::sig", "CSRFPreventionToken": f"{at}:abc"}) for at in (1, 2)),
    )
    refused = Answer(status=401, reason="permission denied - invalid PVE ticket", body=b"")
    served.say("PUT /x", refused, Answer(1))
    client = connect(served.api(), purpose="root", secret=Secret("a password"), read_only=False)
    assert client.put("/x", {"a": 1}) == 1
    assert served.asked[-1].headers["Cookie"] == "PVEAuthCookie=PVE:root@pam:2::sig"
    served.say("PUT /x", refused)
    with pytest.raises(Expired):
        client.put("/x", {"a": 1})
    assert served.times("POST /access/ticket") == 3


def test_booleans_travel_as_numbers_and_deletes_in_the_query(served: Served) -> None:
    served.say("PUT /x", Answer())
    served.say("DELETE /x", Answer())
    client = writer(served)
    client.put("/x", {"onboot": True, "protection": False, "pool": None})
    client.delete("/x", {"purge": True})
    assert served.asked[0].body == "onboot=1&protection=0"
    assert (served.asked[1].path, served.asked[1].body) == ("/x?purge=1", "")


def test_three_requests_at_once_and_no_more(served: Served) -> None:
    served.say("GET /slow", Answer(1))
    client = reader(served)
    with ThreadPoolExecutor(12) as many:
        assert list(many.map(lambda _: client.get("/slow"), range(24))) == [1] * 24
    assert 1 < served.most_at_once <= IN_FLIGHT


def test_an_answer_is_kept_only_for_those_who_ask_for_it(served: Served) -> None:
    served.say("GET /version", VERSION)
    client = reader(served)
    for cached in (False, True, True, False):
        client.get("/version", cached=cached)
    assert served.times("GET /version") == 2


def test_a_ticket_is_fetched_once_and_sent_with_the_csrf_token(served: Served) -> None:
    served.say("POST /access/ticket", Answer({"ticket": "PVE:root@pam:1::sig", "CSRFPreventionToken": "1:abc"}))
    served.say("PUT /x", Answer())
    served.say("GET /version", VERSION)
    client = connect(served.api(), purpose="root", secret=Secret("a password"), read_only=False)
    client.put("/x", {"a": 1})
    client.get("/version")
    assert served.asked[0].body == "username=root%40pam&password=a+password"
    assert served.times("POST /access/ticket") == 1
    assert served.asked[1].headers["Cookie"] == "PVEAuthCookie=PVE:root@pam:1::sig"
    assert served.asked[1].headers["CSRFPreventionToken"] == "1:abc"
    assert "CSRFPreventionToken" not in served.asked[2].headers


def test_a_wrong_password_is_refused(served: Served) -> None:
    served.say("POST /access/ticket", Answer(status=401, reason="authentication failure"))
    with pytest.raises(Refused, match="authentication failure"):
        connect(served.api(), purpose="root", secret=Secret("a password"), read_only=True).get("/version")


def test_a_token_the_inventory_does_not_name(served: Served) -> None:
    api = dataclasses.replace(served.api(), tokens={})
    with pytest.raises(Invalid, match=r"api\.tokens\.provision"):
        connect(api, purpose="provision", secret=SECRET, read_only=False)


@pytest.mark.parametrize("method", ["post", "put", "delete", "upload"])
def test_a_reader_has_no_method_that_writes(served: Served, method: str) -> None:
    assert not hasattr(reader(served), method)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_write_that_comes_to_a_readers_connections_some_other_way_is_not_sent(served: Served, method: str) -> None:
    with pytest.raises(ReadOnly, match=f"{method} .*/nodes/hv01/qemu/130"):
        reader(served)._send(method, "/nodes/hv01/qemu/130", {})
    assert served.asked == []


def test_who_only_reads_is_given_nothing_that_could_write(served: Served) -> None:
    assert require_reader(reader(served))
    with pytest.raises(ReadOnly, match="could write"):
        require_reader(writer(served))
