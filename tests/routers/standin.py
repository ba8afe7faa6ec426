"""A throw-away router with an API: the lab's stand-in before real Kea and unbound, on the lab's Debian tree."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import pytest

from harness import lab, probe
from harness.contract import Contract, RouterApi, SecretRef
from harness.errors import HarnessError
from harness.lab.rootfs import ensure_rootfs
from harness.lab.router.first import STATE, first_files
from harness.lab.router.seed import Seed, SeedRecord, SeedReservation, SeedSubnet
from harness.routers import opnsense, vyos
from harness.routers.observed import ObservedRouter
from harness.routers.port import Changes, CoreRouter
from harness.wait import wait_until
from tests.remote.machine import end
from tests.routers import dhcp
from tests.routers.namespace import CLIENT_NIC, SERVER_NIC, Namespace
from tests.routers.values import DOMAIN, ROUTER, contract

T = TypeVar("T")
ADDRESS = "198.18.99.1"
PROGRAM = Path(lab.__file__).parent / "router"
KEY, SECRET = "w86XNZob/8Oq8aC5r0kbNarNtdpoQU781fyoeaOBQsBw", "XeD26XVrJ5ilAc/EmglCRC+0j2e57tRsjHwFepOseySW"

# The lab's tree under an overlay in a tmpfs; both ends of the cable are inside, so nothing shows outside.
START = f"""
set -eu
work=$1 files=$2 rootfs=$3
shift 3
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/inner" "$work/root"
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$work/upper,workdir=$work/inner" "$work/root"
root=$work/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
ip link set lo up
ip link add {SERVER_NIC} type veth peer name {CLIENT_NIC}
ip address add {ADDRESS}/24 dev {SERVER_NIC}
ip link set {SERVER_NIC} up
ip link set {CLIENT_NIC} up
cp -r "$files/." "$root/"
mkdir -p "$root/var/lib/kea" "$root/run/kea" "$root/var/lib/router-api"
for service in kea unbound; do chroot "$root" /service restart $service; done
exec chroot "$root" env -C /usr/lib/router-api "$@"
"""
# What systemctl is in the lab. A daemon that ended is nobody's child any more and stays a zombie.
SERVICE = """#!/bin/sh
export KEA_PIDFILE_DIR=/run/kea KEA_LOCKFILE_DIR=/run/kea
runs() { [ -e "/run/$1.pid" ] && grep -q '^State:.[^ZX]' "/proc/$(cat "/run/$1.pid")/status" 2>/dev/null; }
stop() {
    runs "$1" || return 0
    kill "$(cat "/run/$1.pid")"
    while runs "$1"; do sleep 0.02; done
    # Kea that was ended while it started has not removed it, and would take the zombie for itself.
    [ "$1" != kea ] || rm -f /run/kea/*.pid
}
start() {
    case $1 in
        kea) kea-dhcp4 -c /etc/kea/kea-dhcp4.conf >>/var/log/kea.log 2>&1 & ;;
        unbound) unbound -d -c /etc/unbound/unbound.conf >>/var/log/unbound.log 2>&1 & ;;
    esac
    echo $! >"/run/$1.pid"
}
echo "$1 $2" >>/var/log/service.log
case $1 in
    restart) stop "$2"; start "$2" ;;
    reload) kill -HUP "$(cat "/run/$2.pid")" ;;
    stop) stop "$2" ;;
    is-active) runs "$2" ;;
esac
"""
Kind = Literal["opnsense", "vyos"]


@dataclass(frozen=True)
class Variant:
    """A product as it comes: of OPNsense what its grids show, of VyOS its release."""

    kind: Kind
    rows: Literal["raw", "label"] = "raw"
    release: Literal["1.4", "1.5"] = "1.5"

    def __str__(self) -> str:
        return f"{self.kind} {self.rows if self.kind == 'opnsense' else self.release}"


VARIANTS = (
    Variant("opnsense"),
    Variant("opnsense", rows="label"),
    Variant("vyos", release="1.4"),
    Variant("vyos", release="1.5"),
)


@dataclass(frozen=True)
class StandIn:
    """A running one; `contract` is how a client reaches it, and it serves what that declares."""

    variant: Variant
    contract: Contract
    namespace: Namespace
    certificate: Path

    def inside(self, function: Callable[[], T]) -> T:
        return self.namespace.inside(function)

    def run(self, command: str) -> str:
        """Run a command in the machine."""
        argv = ["nsenter", "-t", str(self.namespace.pid), "-n", "-m", "-p", "-r", "-w/", "sh", "-c", command]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def using(self, function: Callable[[CoreRouter], T]) -> T:
        """Call the function with the router open."""

        def opened() -> T:
            kind = {"opnsense": opnsense, "vyos": vyos}[self.variant.kind]
            with kind.open_router(self.contract) as router:
                return function(router)

        return self.inside(opened)

    def observe(self) -> ObservedRouter:
        return self.using(lambda router: router.observe())

    def write(self, changes: Changes) -> None:
        self.using(lambda router: router.write(changes))

    def failing(self, changes: Changes) -> HarnessError:
        """The failure of writing them."""
        with pytest.raises(HarnessError) as caught:
            self.write(changes)
        return caught.value

    def lease(self, mac: str, tries: int = 20) -> str | None:
        """The address that a client with that MAC gets; it asks again, as clients do while a server starts."""
        asked = (self.inside(lambda: dhcp.lease(CLIENT_NIC, mac, timeout_s=0.7)) for _ in range(tries))
        return next((str(got.address) for got in asked if got is not None), None)

    def answers(self, name: str) -> tuple[str, ...]:
        """The addresses that the router answers for a name of its domain."""
        found = self.inside(lambda: probe.resolve_a(f"{name}.{DOMAIN}", ADDRESS))
        return tuple(sorted(map(str, found)))

    def started(self) -> list[str]:
        """What its services were told, in order."""
        lines = self.run("cat /var/log/service.log").splitlines()
        return [line for line in lines if not line.startswith("is-active")]

    def call(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What an administrator does at OPNsense's pages: behind our back, by a client of its own."""
        basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        return self.send(f"/api/{path}", headers, None if body is None else json.dumps(body))[1]

    def configure(self, *commands: str) -> Any:
        """The same at VyOS's command line; each command is `set …` or `delete …`."""
        said = [{"op": words[0], "path": words[1:]} for words in (command.split() for command in commands)]
        return self.send("/configure", {}, urlencode({"key": KEY, "data": json.dumps(said)}))[1]

    def send(self, path: str, headers: Mapping[str, str], body: str | None) -> tuple[int, Any]:
        """A request as it stands; POST when it has a body."""

        def sent() -> tuple[int, Any]:
            context = ssl.create_default_context(cafile=str(self.certificate))
            with closing(HTTPSConnection(ADDRESS, context=context, timeout=10)) as connection:
                connection.request("GET" if body is None else "POST", path, body, dict(headers))
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

        return self.inside(sent)


def what_is_missing() -> str | None:
    """Why no stand-in can be started here, or None."""
    lacks = lab.missing_requirements()
    return "; ".join(f"{lack.what} ({lack.do})" for lack in lacks) or None


def seed_of(site: Contract) -> Seed:
    """What the contract declares, as the lab's router is given it."""
    served = [one for one in site.segments.values() if any(each.address in one.subnet for each in site.reservations)]
    return Seed(
        nic=SERVER_NIC,
        address=ADDRESS,
        domain=site.domain,
        subnets=tuple(SeedSubnet(str(one.subnet), str(one.gateway), None) for one in served),
        reservations=tuple(SeedReservation(one.mac, str(one.address), one.name) for one in site.reservations),
        records=tuple(SeedRecord(one.type, one.name, one.target) for one in site.records),
    )


@contextmanager
def started(
    folder: Path, variant: Variant, *, keys: list[dict[str, Any]] | None = None, change: str = ""
) -> Iterator[StandIn]:
    """A stand-in that serves the contract, for as long as the block runs; `change` is done to its `state` before."""
    site = contract()
    work, files, log = folder / "work", folder / "files", folder / "standin.log"
    work.mkdir()
    _lay_out(files, first_files(variant.kind, seed_of(site), variant.release))
    _change(files / STATE[1:] / "state.json", change)
    _lay_out(files, {f"{STATE}/keys.json": json.dumps(keys or [{"key": KEY, "secret": SECRET}]), "/service": SERVICE})
    (files / "service").chmod(0o755)
    shutil.copytree(PROGRAM, files / "usr/lib/router-api/router", ignore=shutil.ignore_patterns("__pycache__"))
    certificate = _certificate(files)
    options = [f"--product={variant.kind}", f"--rows={variant.rows}", f"--release={variant.release}"]
    options += [f"--state={STATE}", "--certificate=/api.pem", "--key=/api.key", "--service=/service"]
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", START, "sh"]
    argv += [str(work), str(files), str(ensure_rootfs(print)), "/usr/bin/python3", "-m", "router", *options]
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            yield _ready(
                StandIn(variant, _reached(site, folder, variant, certificate), _running(process, log), certificate)
            )
        finally:
            end(process)


def _lay_out(files: Path, texts: Mapping[str, str]) -> None:
    for path, text in texts.items():
        target = files / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _change(path: Path, change: str) -> None:
    state = json.loads(path.read_text())
    exec(change, {"state": state})  # noqa: S102 - a line of a test
    path.write_text(json.dumps(state))


def _certificate(files: Path) -> Path:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=core-rt01", "-addext", f"subjectAltName=IP:{ADDRESS}"),
            *("-keyout", str(files / "api.key"), "-out", str(files / "api.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return files / "api.pem"


def _reached(site: Contract, folder: Path, variant: Variant, certificate: Path) -> Contract:
    """The contract with the way in: OPNsense by its authority, VyOS by its fingerprint."""
    for name, text in (("key", KEY), ("secret", SECRET)):
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    is_opnsense = variant.kind == "opnsense"
    digest = sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    api = RouterApi(
        url=f"https://{ADDRESS}:443",
        ca_file=certificate if is_opnsense else None,
        fingerprint=None if is_opnsense else digest,
        key=SecretRef("file", str(folder / "key")),
        secret=SecretRef("file", str(folder / "secret")) if is_opnsense else None,
        release=None,
    )
    return replace(site, router=replace(ROUTER, kind=variant.kind, api=api))


def _running(process: subprocess.Popen[bytes], log: Path) -> Namespace:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def look() -> tuple[int | None, str]:
        said = log.read_text()
        if process.poll() is not None:
            raise RuntimeError(f"the stand-in did not start: {said}")
        pids = children.read_text().split()
        program = Path(f"/proc/{pids[0]}/cmdline").read_bytes() if pids else b""
        return (int(pids[0]) if b"\0router\0" in program and b"python3" in program.split(b"\0")[0] else None), said

    waited = wait_until(look, deadline_s=10, first_pause_s=0.02)
    assert waited.value is not None, waited.last_seen
    return Namespace(waited.value, log)


def _ready(made: StandIn) -> StandIn:
    """Kea and unbound have opened their sockets, and so has the API."""

    def look() -> tuple[bool | None, str]:
        listening = made.run("cat /proc/net/packet /proc/net/udp /proc/net/tcp /var/log/*.log")
        is_up = ":01BB 00000000:0000 0A" in listening and ":0035 " in listening and "DHCP4_STARTED" in listening
        return (True if is_up else None), listening[-2000:]

    waited = wait_until(look, deadline_s=10, first_pause_s=0.02)
    assert waited.value, f"{waited.last_seen} {made.namespace.log.read_text()}"
    return made
