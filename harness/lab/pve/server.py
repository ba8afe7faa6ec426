"""Speak HTTP/1.1 over TLS as pveproxy does: its headers, its redirects, its habit of closing after a refusal."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import struct
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .dispatch import BODY_LIMIT, Dispatcher, Request, Response
from .options import Options
from .striking import DroppedError
from .waiting import pause

_HANDSHAKE_S = 10.0
_IDLE_S = 30.0
_TLS_HANDSHAKE_BYTE = 0x16
_MOST_HEADERS, _LONGEST_HEADER = 64, 8192
_BAD_HEADER_S = 5.0
_GZIP_FROM = 1024


class Server(ThreadingHTTPServer):
    """Listens on the options' address; every connection has a thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, options: Options, dispatcher: Dispatcher) -> None:
        self.address_family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
        self.dispatcher = dispatcher
        self.pace = options.pace
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(options.certificate, options.key)
        super().__init__((options.address, options.port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS first; a client that speaks plain HTTP is told where to go."""
        request.settimeout(_HANDSHAKE_S)
        with contextlib.suppress(OSError):  # a client that goes away during the handshake is nobody's failure
            first = request.recv(1, socket.MSG_PEEK)
            if first and first[0] != _TLS_HANDSHAKE_BYTE:
                self._redirect(request)
                return
            with self._tls.wrap_socket(request, server_side=True) as connection:
                _Handler(connection, client_address, self)

    def _redirect(self, request: socket.socket) -> None:
        line, _, rest = request.recv(8192).decode("latin-1").partition("\r\n")
        method, path = [*line.split(), "GET", "/"][:2]
        hosts = [value for name, _, value in (header.partition(":") for header in rest.split("\r\n")) if name == "Host"]
        host = hosts[0].strip() if hosts else self.server_name
        status = "301 Moved Permanently" if method in {"GET", "HEAD"} else "308 Permanent Redirect"
        request.sendall(f"HTTP/1.1 {status}\r\nLocation: https://{host}{path}\r\nContent-Length: 0\r\n\r\n".encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        self.close_connection = True
        headers = {name.lower(): value for name, value in self.headers.items()}
        longest = max((len(name) + len(value) for name, value in self.headers.items()), default=0)
        if len(self.headers) > _MOST_HEADERS or longest > _LONGEST_HEADER:
            pause(_BAD_HEADER_S * self.server.pace)
            return
        if "transfer-encoding" in headers:
            self._send(Response(501, "chunked transfer encoding not supported"))
            return
        length = int(headers.get("content-length", "0"))
        body = self.rfile.read(min(length, BODY_LIMIT + 1))
        path, _, query = self.path.partition("?")
        try:
            response = self.server.dispatcher.serve(Request(self.command, path, query, headers, body))
        except DroppedError as dropped:
            if dropped.resets:
                self._reset()
            return
        self._send(response)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - the library's names

    def _reset(self) -> None:
        """End the connection below TLS, without a word of its own."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send(self, response: Response) -> None:
        """One write per answer; the connection stays only after a success."""
        keep = response.status < 400 and self.request_version == "HTTP/1.1" and not response.is_cut
        keep = keep and "close" not in self.headers.get("Connection", "").lower()
        self.close_connection = not keep
        body, now = response.body, formatdate(usegmt=True)
        headers = {
            "Cache-Control": "max-age=0",
            "Connection": "Keep-Alive" if keep else "close",
            "Date": now,
            "Pragma": "no-cache",
            "Server": "pve-api-daemon/3.0",
            "Expires": now,
        }
        if body:
            headers["Content-Type"] = response.content_type
        if len(body) > _GZIP_FROM and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        # A reason phrase is one line of Latin-1, whatever the message was.
        reason = response.reason.encode("latin-1", "replace").decode("latin-1")
        head = f"HTTP/1.1 {response.status} {reason}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        sent = body[: len(body) // 2] if response.is_cut else body
        self.wfile.write(head.encode("latin-1") + b"\r\n" + (b"" if self.command == "HEAD" else sent))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """No access log: the counters are what tests look at, and paths may carry names."""
