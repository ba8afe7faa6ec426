"""Answer on 8006 as PVE's proxy does, as far as getting in: the version for whoever has a ticket."""

import crypt
import http.server
import json
import pathlib
import secrets
import ssl
import urllib.parse

FOLDER = pathlib.Path("/etc/pve/local")
VERSION = {"version": "8.4.0", "release": "8.4", "repoid": "ec58e45e1bcdf2ac"}
tickets = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        if self.path != "/api2/json/version":
            self.answer(501, f"Method 'GET {self.path}' not implemented")
        elif not any(f"PVEAuthCookie={ticket}" in self.cookie() for ticket in tickets):
            self.answer(401, "No ticket")
        else:
            self.answer(200, "OK", VERSION)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        said = dict(urllib.parse.parse_qsl(body))
        if self.path != "/api2/json/access/ticket":
            self.answer(501, f"Method 'POST {self.path}' not implemented")
        elif said.get("username") not in ("root@pam", "root") or not is_root(said.get("password", "")):
            self.answer(401, "authentication failure")
        else:
            ticket = f"PVE:root@pam:{secrets.token_hex(8)}"
            tickets.add(ticket)
            self.answer(200, "OK", {"ticket": ticket, "CSRFPreventionToken": "0:x", "username": "root@pam"})

    def cookie(self):
        return urllib.parse.unquote(self.headers.get("Cookie", ""))

    def answer(self, status, reason, data=None):
        body = json.dumps({"data": data}).encode()
        self.send_response(status, reason)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """The handshake is the client's own thread's: one that says nothing keeps nobody else waiting."""

    def finish_request(self, request, address):
        request.settimeout(30)
        super().finish_request(context.wrap_socket(request, server_side=True), address)

    def handle_error(self, request, address):
        pass


def is_root(password):
    stored = pathlib.Path("/etc/shadow").read_text().split(":")[1]
    return secrets.compare_digest(crypt.crypt(password, stored), stored)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(FOLDER / "pve-ssl.pem", FOLDER / "pve-ssl.key")
Server(("", 8006), Handler).serve_forever()
