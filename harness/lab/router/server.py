"""Speak HTTP/1.1 over TLS, and answer every request with a status and a JSON body."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

HANDSHAKE_S = 10.0
IDLE_S = 30.0
BODY_LIMIT = 2**20


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


Product = Callable[[Request], Answer]


class Server(ThreadingHTTPServer):
    """Every connection has a thread; the product decides what it may do at the same time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], certificate: Path, key: Path, product: Product) -> None:
        self.product = product
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(HANDSHAKE_S)
        # A client that goes away during the handshake is nobody's failure.
        with contextlib.suppress(OSError), self._tls.wrap_socket(request, server_side=True) as connection:
            _Handler(connection, client_address, self)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        if length > BODY_LIMIT:
            self.close_connection = True
            self._send(Answer(413, {"message": "Request Entity Too Large"}))
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = Request(self.command, path, dict(parse_qsl(query)), headers, self.rfile.read(length))
        self._send(self.server.product(said))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

    def _send(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """No access log: nobody reads it, and it would hold what clients send."""
