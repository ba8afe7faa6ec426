"""A TLS server on the loopback that gives prepared answers, as PVE's daemons were recorded to give them."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from harness.contract import Api, ApiToken, SecretRef
from harness.evidence import Secret

TOKEN_ID = "verify@pve!harness"
SECRET = Secret("00000000-0000-4000-8000-000000000021")


@dataclass(frozen=True)
class Answer:
    """`data` becomes PVE's envelope; `body` replaces it whole; `cut` closes the connection instead.

    Cut "damaged" sends what nobody can decrypt before that.
    """

    data: Any = None
    status: int = 200
    reason: str = "OK"
    errors: dict[str, str] | None = None
    body: bytes | None = None
    cut: Literal["before", "after", "damaged"] | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        refused = {"message": f"{self.reason}\n"} if self.status >= 400 else {}
        errors = {"errors": self.errors} if self.errors else {}
        return json.dumps({"data": self.data, **refused, **errors}).encode()


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Served:
    """The running server; `answers` maps `GET /path` to its answers, of which the last one repeats."""

    url: str
    certificate: Path
    fingerprint: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, call: str, *answers: Answer) -> None:
        self.answers[call] = list(answers)

    def times(self, call: str) -> int:
        return sum(f"{asked.method} {asked.path.partition('?')[0]}" == call for asked in self.asked)

    def api(self, *, ca: bool = False, fingerprint: str | None = None) -> Api:
        token = ApiToken(TOKEN_ID, SecretRef("file", "/etc/secrets/verify.token"))
        return Api(
            url=self.url,
            ca_file=self.certificate if ca else None,
            fingerprint=None if ca else fingerprint or self.fingerprint,
            tokens={"verify": token, "provision": token},
        )


@contextmanager
def serving(certificate: Path, key: Path) -> Iterator[Served]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    served = Served(f"https://127.0.0.1:{server.server_port}", certificate, sha256(der).hexdigest())
    server.RequestHandlerClass = _handler(served)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are what we test
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(folder: Path, name: str = "pve") -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=hv01", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes; the second would wait 40 ms for an ACK

        def _answer(self) -> None:
            path = self.path.removeprefix("/api2/json")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            with served.lock:
                served.asked.append(Asked(self.command, path, dict(self.headers), body))
                answers = served.answers.get(f"{self.command} {path.partition('?')[0]}") or [
                    Answer(status=501, reason=f"Method '{self.command} {path}' not implemented")
                ]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
            if path == "/slow":
                threading.Event().wait(0.05)
            with served.lock:
                served.at_once -= 1
            if answer.cut:
                if answer.cut == "damaged":
                    os.write(self.connection.fileno(), b"\x17\x03\x03\x00\x30" + bytes(48))
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = answer.content()
            self.send_response_only(answer.status, answer.reason)
            for name, value in (*answer.headers, ("Content-Length", str(len(content)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

    return Handler
