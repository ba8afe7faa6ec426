"""Ask the simulator what a real 8.4.1 node was asked, in the same order and overlap, and compare the answers."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from harness.lab.pve import disk_images
from harness.wait import wait_until
from tests.lab.pve.compare import differences
from tests.lab.pve.served import Node, Reply

# The calls the harness makes; every recorded exchange of one of them is judged.
_N, _V = "/nodes/[^/]+", "/nodes/[^/]+/qemu/[^/]+"
HARNESS_CALLS = tuple(
    re.compile(f"{method} {path}")
    for method, path in (
        ("GET", "/version"),
        ("(GET|POST)", "/access/ticket"),
        ("GET", "/access/(permissions|users|acl|roles)"),
        ("(POST|PUT|DELETE)", "/access/(users|roles|acl).*"),
        ("GET", "/nodes"),
        ("GET", f"{_N}/(status|version|network|time|dns|subscription|services|disks/list|certificates/info)"),
        ("GET", f"{_N}/apt/versions"),
        ("GET", f"{_N}/storage(/[^/]+/(content|status))?"),
        ("GET", f"{_N}/qemu"),
        ("GET", f"{_V}/(config|pending|status/current)"),
        ("GET", f"{_N}/tasks(/[^/]+/(status|log))?"),
        ("GET", "/cluster/(status|resources|nextid|replication|options|backup|config/nodes|ha/.*)"),
        ("GET", "/cluster/backup-info/not-backed-up"),
        ("GET", "/storage"),
        ("(GET|POST|PUT|DELETE)", "/pools.*"),
        ("POST", f"{_V}/(clone|config|status/.*|agent.*)"),
        ("GET", f"{_V}/agent/.*"),
        ("PUT", f"{_V}/config"),
        ("DELETE", _V),
        ("POST", f"{_N}/qemu"),
        ("POST", f"{_V}/template"),
        ("POST", f"{_N}/storage/[^/]+/upload"),
        ("(GET|PUT|DELETE)", f"{_N}/storage/[^/]+/content/.*"),
        ("(GET|DELETE)", f"{_N}/storage/[^/]+/prunebackups"),
        ("POST", f"{_N}/vzdump"),
        ("GET", f"{_N}/vzdump/extractconfig"),
    )
)
_UPID = re.compile(r"UPID:[^/\s\"]+?:(?=/|$|\")")
_ARCHIVE = re.compile(r"vzdump-qemu-[^/\s\"']+")
_CREATING = re.compile(rf"creating vzdump archive '.*/({_ARCHIVE.pattern})'")
_UUID = re.compile(r"(?<=/)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE = re.compile(r"<file (.*), (\d+) bytes>")
RECORDED_SHA256 = "44176347572ec09d3c817a745d8041757a5c40232e2056d877f7f847cbdfb7bc"
_LARGE = re.compile(r"<(\d+) times (.)>")

Before = Callable[["Replay", dict[str, Any]], None]


@dataclass
class Judgement:
    """One exchange: `skipped` says why it could not be asked."""

    n: int
    call: str
    is_harness: bool
    skipped: str | None = None
    wrong: list[str] = field(default_factory=list)


def is_harness_call(exchange: Mapping[str, Any]) -> bool:
    call = f"{exchange['method']} {exchange['path'].partition('?')[0]}"
    return any(pattern.fullmatch(call) for pattern in HARNESS_CALLS)


class Replay:
    """One recorded scenario against one node; what the node made up is mapped as it shows."""

    def __init__(self, node: Node, file: Path, *, before: Mapping[int, Before], first: int = 1) -> None:
        recording = json.loads(file.read_text(encoding="utf-8"))
        self.node, self.before = node, before
        self.exchanges: list[dict[str, Any]] = recording["exchanges"][first - 1 :]
        self.known: dict[str, str] = {}  # what the real node said -> what the simulator said
        self.digests: dict[str, str] = {}
        self.archives: dict[str, str] = {}  # file name on the simulator -> on the real node
        self.foreign: set[str] = set()  # UPIDs of calls the harness does not make
        self.judged: list[Judgement] = []
        node.control(op="broadcast", regular=False)
        self.started, self.idle_s, self.group_ms = 0.0, 0.0, 0.0

    def run(self) -> list[Judgement]:
        before_ms = self.exchanges[0]["at_ms"]
        for group in overlapping(self.exchanges):
            self.group_ms, self.started = group[0]["at_ms"], time.monotonic()
            self.idle_s = max(0, self.group_ms - before_ms) / 1000 * self.node.pace
            before_ms = max(exchange["at_ms"] + exchange["elapsed_ms"] for exchange in group)
            if len(group) == 1:
                self._play(group[0])
                continue
            threads = [threading.Thread(target=self._play, args=(exchange,)) for exchange in group]
            for thread in threads:
                thread.start()
                thread.join(0.01)  # in the recorded order
            for thread in threads:
                thread.join()
        return sorted(self.judged, key=lambda judgement: judgement.n)

    # -- one exchange ---------------------------------------------------------------------------------------------
    def _play(self, exchange: dict[str, Any]) -> None:
        judgement = Judgement(exchange["n"], f"{exchange['method']} {exchange['path']}", is_harness_call(exchange))
        self.judged.append(judgement)
        exchange = json.loads(json.dumps(exchange))
        self._wait_for_turn(exchange)
        if exchange["n"] in self.before:
            self.before[exchange["n"]](self, exchange)
        judgement.skipped = self._why_not(exchange)
        if judgement.skipped is not None:
            judgement.is_harness = judgement.is_harness and "/tasks/" not in judgement.call
            return
        self._broadcast_as_recorded(exchange)
        try:
            reply = self._ask(exchange)
        except (HTTPException, OSError) as error:
            if exchange["status"] is not None:
                judgement.wrong = [f"no answer: {error}"]
            return
        if exchange["status"] is None:
            judgement.wrong = [f"status {reply.status} instead of no answer"]
            return
        not_imitated = reply.status == 501 and exchange["status"] != 501
        if not_imitated and not judgement.is_harness:
            judgement.skipped = "the simulator does not imitate this call"
            return
        self._learn(exchange["body"], reply.body)
        if not judgement.is_harness and isinstance(exchange["body"], dict):
            self.foreign.add(str(exchange["body"].get("data")))
        elif (upid := _UPID.search(exchange["path"])) is not None and upid[0] in self.foreign:
            judgement.is_harness = False  # the task of a call the harness does not make
        judgement.wrong = differences(exchange, reply, self._mine_to_theirs())

    def _wait_for_turn(self, exchange: Mapping[str, Any]) -> None:
        """As long after the answer before as in the recording, at the simulator's pace."""
        due = self.started + self.idle_s + (exchange["at_ms"] - self.group_ms) / 1000 * self.node.pace
        wait_until(lambda: (time.monotonic() >= due or None, ""), deadline_s=60, first_pause_s=0.002)

    def _broadcast_as_recorded(self, exchange: Mapping[str, Any]) -> None:
        """pvestatd runs every ten seconds; the recorded answer tells whether it had seen all VMs by then."""
        if re.match(r"/(cluster/resources|pools|nodes$)", exchange["path"]) and exchange["method"] == "GET":
            unknown = re.findall(r'"qemu/(\d+)"', " ".join(_items_of_status(exchange["body"], "unknown")))
            self.node.control(op="broadcast", regular=False, **{"except": unknown})

    def _why_not(self, exchange: Mapping[str, Any]) -> str | None:
        upid = _UPID.search(exchange["path"])
        if upid is not None and upid[0] not in self.known and ":00000001:00000001:" not in upid[0]:
            return "a task of a call that was not imitated"
        return None

    def _ask(self, exchange: dict[str, Any]) -> Reply:
        auth, note = exchange["auth"], exchange["note"]
        user = None if auth == "none" else "root@pam" if auth == "ticket" else auth
        path = self._translated(exchange["path"])
        params = exchange["params"] or {}
        headers, body = exchange.get("own_headers", {}), params.get("_raw")
        if "not below /api2/json" in note:
            return self.node.raw(exchange["method"], path, headers=self.node.credentials[user or ""])
        if "extra headers" in note:
            headers = {f"X-Extra-{number}": "1" for number in range(70)}
        if "header of 9 KB" in note:
            headers = {"X-Large": "x" * 9000}
        if "empty JSON body" in note:
            body = ""
        if body is not None:
            sent = {**self.node.credentials.get(user or "", {}), "Content-Type": _raw_kind(note)}
            return self.node.raw(exchange["method"], f"/api2/json{path}", headers=sent, body=body.encode())
        if exchange["encoding"] == "multipart":
            return self.node.upload(path, {key: self._part(value) for key, value in params.items()}, user=user)
        params = {key: self._value(value) for key, value in params.items()}
        if "pid" in params:
            params["pid"] = self.known.get(str(params["pid"]), params["pid"])
        if path.endswith("/status") and "/tasks/" in path and re.search(r"finished|end of|task of|shutdown task", note):
            return self._finished_task(path, user)
        return self.node.ask(
            exchange["method"], path, params, user=user, encoding=exchange["encoding"], headers=headers
        )

    def _part(self, value: str) -> str | tuple[str, bytes]:
        """A field, or a file of that name: an image of the recorded virtual size, or a file that is none."""
        file = _FILE.fullmatch(value)
        if file is None:
            return value.replace(RECORDED_SHA256, hashlib.sha256(self._image()).hexdigest())
        return file[1], self._image() if int(file[2]) > 5000 else b"no image"

    def _image(self) -> bytes:
        path = self.node.folder / "tiny.qcow2"
        if not path.exists():
            disk_images.write(path, None, 167772160)
        return path.read_bytes()

    def _finished_task(self, path: str, user: str | None) -> Reply:
        """A poll whose predecessors were not recorded: wait for the end, then look."""

        def look() -> tuple[Reply | None, str]:
            reply = self.node.ask("GET", path, user=user)
            running = reply.status == 200 and isinstance(reply.data, dict) and reply.data.get("status") == "running"
            return (None if running else reply), reply.text

        waited = wait_until(look, deadline_s=60, first_pause_s=0.01, longest_pause_s=0.05)
        assert waited.value is not None, waited.last_seen
        return waited.value

    # -- what one node calls A and the other B ------------------------------------------------------------------------
    def _translated(self, text: str) -> str:
        text = _ARCHIVE.sub(lambda match: self.known.get(match[0], match[0]), text)
        text = _UUID.sub(lambda match: self.known.get(match[0], match[0]), text)
        return _UPID.sub(lambda match: self.known.get(match[0], match[0]), text)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, str):
            return value
        value = _ARCHIVE.sub(lambda match: self.known.get(match[0], match[0]), value)
        if (large := _LARGE.fullmatch(value)) is not None:
            return int(large[1]) * large[2]
        if value == "<t0;t1;…;t299>":
            return ";".join(f"t{n}" for n in range(300))
        return self.digests.get(value, self.known.get(value, value))

    def _learn(self, theirs: Any, mine: Any) -> None:
        """Pair up what both made up at the same place: UPIDs, tokens, tickets, digests, pids."""
        if isinstance(theirs, dict) and isinstance(mine, dict):
            for key in theirs.keys() & mine.keys():
                self._learn(theirs[key], mine[key])
            if "digest" in theirs and "digest" in mine:
                self.digests[str(theirs["digest"])] = str(mine["digest"])
            if "full-tokenid" in theirs and "full-tokenid" in mine:
                self.node.use_token(f"token:{_short(theirs['full-tokenid'])}", mine["full-tokenid"], mine["value"])
            if "pid" in theirs and "pid" in mine:
                self.known[str(theirs["pid"])] = str(mine["pid"])
            if "ticket" in theirs and "ticket" in mine:
                self.known[theirs["ticket"]] = mine["ticket"]
        elif isinstance(theirs, list) and isinstance(mine, list):
            self._learn_archives(theirs, mine)
            if len(theirs) == len(mine):
                self._learn_jobs(theirs, mine)
        elif (
            isinstance(theirs, str)
            and isinstance(mine, str)
            and theirs.startswith("UPID:")
            and mine.startswith("UPID:")
        ):
            self.known[theirs] = mine

    def _learn_archives(self, theirs: Sequence[Any], mine: Sequence[Any]) -> None:
        """Their names tell when they were made: the task's log says it, or a list with one more than is known."""
        pairs = list(zip(_created(theirs), _created(mine), strict=False))  # one of the logs may end earlier
        listed = [name for name in _listed(theirs) if name not in self.known]
        own = [name for name in _listed(mine) if name not in self.archives]
        if len(listed) == len(own) == 1:
            pairs += zip(listed, own, strict=True)
        for one, other in pairs:
            self.known[one], self.archives[other] = other, one

    def _learn_jobs(self, theirs: Sequence[Any], mine: Sequence[Any]) -> None:
        """Backup jobs come in the order they were made on the simulator, by their made-up names on a real node."""
        for one in (item for item in theirs if isinstance(item, dict) and item.get("type") == "vzdump"):
            same = [item["id"] for item in mine if _job(item) == _job(one)]
            if same:
                self.known[one["id"]] = same[0]

    def _mine_to_theirs(self) -> dict[str, str]:
        folders = {str(self.node.folder / "vz"): "/var/lib/vz", str(self.node.folder / "data"): "/srv/data"}
        image = {hashlib.sha256(self._image()).hexdigest(): RECORDED_SHA256}
        return self.archives | folders | image


def _job(item: Any) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in {"id", "next-run"}}


def _created(lines: Sequence[Any]) -> list[str]:
    """The archives a task's log says it creates."""
    texts = (str(line.get("t")) for line in lines if isinstance(line, dict))
    return [created[1] for text in texts if (created := _CREATING.search(text)) is not None]


def _listed(items: Sequence[Any]) -> list[str]:
    """The archives in a storage's content."""
    volids = (str(item["volid"]) for item in items if isinstance(item, dict) and item.get("subtype") == "qemu")
    return [archive[0] for volid in volids if (archive := _ARCHIVE.search(volid)) is not None]


def _items_of_status(body: Any, status: str) -> list[str]:
    """The JSON of every object in the body that has this status."""
    if isinstance(body, dict):
        own = [json.dumps(body)] if body.get("status") == status else []
        return own + [item for value in body.values() for item in _items_of_status(value, status)]
    return [found for item in body for found in _items_of_status(item, status)] if isinstance(body, list) else []


def _raw_kind(note: str) -> str:
    if "text/plain" in note:
        return "text/plain"
    return "application/json" if "JSON" in note else "application/x-www-form-urlencoded"


def _short(tokenid: str) -> str:
    """The recordings' name of a token."""
    short = {"audit@pve!ro": "audit", "prov@pve!ci": "prov", "none@pve!empty": "none", "recuser@pve!default": "dflt"}
    return short.get(tokenid, tokenid.partition("!")[2])


def overlapping(exchanges: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Exchanges that were under way at the same time, together."""
    groups: list[list[dict[str, Any]]] = []
    until = -1.0
    for exchange in exchanges:
        if groups and exchange["at_ms"] < until - 1:
            groups[-1].append(exchange)
        else:
            groups.append([exchange])
        until = max(until, exchange["at_ms"] + exchange["elapsed_ms"])
    return groups
