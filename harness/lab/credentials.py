"""Make the lab's keys, certificates, tokens and pinned host keys, new for each lab and readable by root only."""

from __future__ import annotations

import base64
import hashlib
import secrets
import ssl
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.lab.commands import run
from harness.lab.paths import KNOWN_HOSTS, SECRETS
from harness.lab.spec import LabMachine, LabSpec
from harness.lab.trees import write_file

PURPOSES = ("verify", "provision")
RSA = ("-newkey", "rsa:2048", "-noenc")
ELLIPTIC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
_DO = "Check that openssl and ssh-keygen work on this machine"


@dataclass(frozen=True)
class KeyPair:
    """An SSH key pair, as its two files hold it."""

    private: str
    public: str


@dataclass(frozen=True)
class RouterCredentials:
    """The router's TLS key and certificate, and the API key that its clients have."""

    tls_key: str
    tls_certificate: str
    key: str
    secret: str


@dataclass(frozen=True)
class Certificates:
    """Keys and certificates that one CA of the lab signed."""

    ca: str
    hypervisor: tuple[str, str]
    router: tuple[str, str]


class MachineKeys(Protocol):
    """What a machine that is no hypervisor needs."""

    @property
    def authorized_key(self) -> str: ...
    @property
    def host_keys(self) -> Mapping[str, KeyPair]: ...
    @property
    def router_api(self) -> RouterCredentials | None: ...


@dataclass(frozen=True)
class RouterKeys:
    """For a router on its own: whose SSH key opens it, and its host key by its name."""

    authorized_key: str
    host_keys: Mapping[str, KeyPair]
    router_api: RouterCredentials | None = None


@dataclass(frozen=True)
class Credentials:
    """What goes into the machines; everything a client needs lies in SECRETS as well."""

    authorized_key: str
    root_password_hash: str  # as /etc/shadow has it
    root_key: KeyPair  # the hypervisor's own, which PVE makes for itself
    host_keys: dict[str, KeyPair]  # by machine
    template_host_key: KeyPair
    tls_key: str
    tls_certificate: str
    ca_certificate: str
    fingerprint: str
    router_api: RouterCredentials | None  # of a router that has an API


def make_credentials(spec: LabSpec) -> Credentials:
    """New ones, with the clients' half written below SECRETS."""
    SECRETS.mkdir(mode=0o700, parents=True)
    password = secrets.token_urlsafe(18)
    write_file(SECRETS / "root.password", password, 0o600)
    password_hash = run(["openssl", "passwd", "-6", "-stdin"], tried="hash a password", do=_DO, given=password).strip()
    key = _ssh_key(SECRETS / "ssh/id_ed25519", f"{spec.site}-lab")
    machines = (spec.router, spec.hypervisor)
    host_keys = {machine.name: _key_pair(f"root@{machine.name}") for machine in machines}
    known = {machine.name: _known_host(machine, host_keys[machine.name]) for machine in machines}
    for name, line in known.items():
        write_file(KNOWN_HOSTS / name, line, 0o600)
    certificates = _certificates(spec)
    tls_key, tls_certificate = certificates.hypervisor
    write_file(SECRETS / "pve-root-ca.pem", certificates.ca)
    fingerprint = fingerprint_of(tls_certificate)
    _write_known(spec, known, host_keys[spec.hypervisor.name], fingerprint)
    return Credentials(
        authorized_key=key.public,
        root_password_hash=password_hash,
        root_key=_key_pair(f"root@{spec.hypervisor.name}", "rsa", "-b", "2048"),
        host_keys=host_keys,
        template_host_key=_key_pair(f"root@{spec.template.name}"),
        tls_key=tls_key,
        tls_certificate=tls_certificate,
        ca_certificate=certificates.ca,
        fingerprint=fingerprint,
        router_api=None if spec.router_kind == "dnsmasq" else _router_api(spec, certificates),
    )


def _router_api(spec: LabSpec, certificates: Certificates) -> RouterCredentials:
    """VyOS has one key, OPNsense a pair."""
    made = RouterCredentials(*certificates.router, key=secrets.token_urlsafe(60), secret=secrets.token_urlsafe(60))
    write_file(SECRETS / "router-api.key", made.key, 0o600)
    write_file(SECRETS / "router-api.fingerprint", f"{fingerprint_of(made.tls_certificate)}\n", 0o600)
    if spec.router_kind == "kea":
        write_file(SECRETS / "router-api.secret", made.secret, 0o600)
    return made


def _write_known(spec: LabSpec, known: Mapping[str, str], host_key: KeyPair, fingerprint: str) -> None:
    """What the tool knows beforehand: of an installed hypervisor no more than its console shows."""
    shown = base64.b64encode(hashlib.sha256(base64.b64decode(host_key.public.split()[1])).digest()).decode()
    write_file(SECRETS / f"ssh/{spec.hypervisor.name}.fingerprint", f"SHA256:{shown.rstrip('=')}\n", 0o600)
    if spec.hypervisor_state == "installed":
        write_file(SECRETS / "ssh/known_hosts", known[spec.router.name], 0o600)
        return
    write_file(SECRETS / "ssh/known_hosts", "".join(known.values()), 0o600)
    write_file(SECRETS / "api.fingerprint", f"{fingerprint}\n", 0o600)
    for purpose in PURPOSES:
        write_file(SECRETS / f"{purpose}.token", f"{uuid.uuid4()}\n", 0o600)


def fingerprint_of(certificate_pem: str) -> str:
    """SHA-256 over the certificate, as PVE writes it: AA:BB:…"""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).digest().hex(":").upper()


def make_router_keys(router: LabMachine, authorized_key: str, folder: Path) -> RouterKeys:
    """What `write_router` needs of a router on its own; `folder` is private, and nothing stays there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return RouterKeys(authorized_key, {router.name: _key_pair(f"root@{router.name}", folder=folder)})


def _key_pair(comment: str, *kind: str, folder: Path = SECRETS) -> KeyPair:
    """A pair that goes into a machine and stays nowhere else."""
    path = folder / "key-of-a-machine"
    key = _ssh_key(path, comment, *kind)
    for file in (path, path.with_name(f"{path.name}.pub")):
        file.unlink()
    return key


def _ssh_key(path: Path, comment: str, kind: str = "ed25519", *size: str) -> KeyPair:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", comment, "-f", str(path)]
    run(argv, tried="make an SSH key", do=_DO)
    return KeyPair(path.read_text(), path.with_name(f"{path.name}.pub").read_text())


def _known_host(machine: LabMachine, key: KeyPair) -> str:
    kind, value, *_ = key.public.split()
    return f"{machine.name},{machine.address} {kind} {value}\n"


def _certificates(spec: LabSpec) -> Certificates:
    """The CA as a PVE node makes its own, and what it signed; its key is kept nowhere."""
    folder = SECRETS / "tls"
    folder.mkdir(mode=0o700)
    authority = f"/CN=Proxmox Virtual Environment/OU={uuid.uuid4()}/O=PVE Cluster Manager CA"
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    ca = ["-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", authority, *usage]
    _openssl(folder, "req", "-x509", *RSA, *ca)
    node = f"/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={spec.hypervisor.name}.{spec.domain}"
    hypervisor = _signed(folder, spec.hypervisor, spec.domain, node, RSA)
    router = ("", "")
    if spec.router_kind != "dnsmasq":
        router = _signed(folder, spec.router, spec.domain, f"/CN={spec.router.name}.{spec.domain}", ELLIPTIC)
    made = Certificates((folder / "ca.pem").read_text(), hypervisor, router)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return made


def _signed(folder: Path, machine: LabMachine, domain: str, subject: str, kind: Sequence[str]) -> tuple[str, str]:
    """A machine's key, and its certificate by the CA in the folder."""
    names = f"IP:127.0.0.1,IP:::1,DNS:localhost,IP:{machine.address},DNS:{machine.name},DNS:{machine.name}.{domain}"
    (folder / "extensions").write_text(
        "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n"
        f"subjectKeyIdentifier=hash\nsubjectAltName={names}\n"
    )
    _openssl(folder, "req", *kind, "-keyout", "new.key", "-out", "new.csr", "-subj", subject)
    signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "730", "-extfile", "extensions"]
    _openssl(folder, "x509", "-req", "-in", "new.csr", *signed_by, "-out", "new.pem")
    return (folder / "new.key").read_text(), (folder / "new.pem").read_text()


def _openssl(folder: Path, *arguments: str) -> None:
    run(["env", "-C", str(folder), "openssl", *arguments], tried="make the APIs' certificates", do=_DO)
