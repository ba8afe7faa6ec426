"""Answer on 8006 as PVE's proxy does, as far as getting in: the version for whoever has a ticket."""

# With few imports, and HTTP by hand: on an emulated processor each module of the standard library costs a while.

import _crypt
import _thread
import os
import socket
import ssl

FOLDER = "/etc/pve/local"
VERSION = '{"version":"8.4.0","release":"8.4","repoid":"ec58e45e1bcdf2ac"}'
tickets = set()


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{FOLDER}/pve-ssl.pem", f"{FOLDER}/pve-ssl.key")
    listener = socket.create_server(("", 8006))
    while True:
        _thread.start_new_thread(serve, (context, listener.accept()[0]))


def serve(context, connection):
    """One client; the handshake is its own thread's, so one that says nothing keeps nobody else waiting."""
    connection.settimeout(60)
    try:
        with context.wrap_socket(connection, server_side=True) as secure:
            stream = secure.makefile("rwb")
            while request := stream.readline().decode():
                method, path, _ = request.split()
                headers = dict(iter(lambda: tuple(read_header(stream)), ("", "")))
                body = stream.read(int(headers.get("content-length", 0))).decode()
                status, reason, data = answer(method, path, unquoted(headers.get("cookie", "")), body)
                text = f'{{"data":{data}}}'.encode()
                head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json;charset=UTF-8\r\n"
                stream.write(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
                stream.flush()
    except (OSError, ValueError):
        connection.close()


def read_header(stream):
    name, _, value = stream.readline().decode().partition(":")
    return name.strip().lower(), value.strip()


def answer(method, path, cookie, body):
    if (method, path) == ("GET", "/api2/json/version"):
        if any(f"PVEAuthCookie={ticket}" in cookie for ticket in tickets):
            return 200, "OK", VERSION
        return 401, "No ticket", "null"
    if (method, path) == ("POST", "/api2/json/access/ticket"):
        said = dict(pair.partition("=")[::2] for pair in body.split("&"))
        if unquoted(said.get("username", "")) != "root@pam" or not is_root(unquoted(said.get("password", ""))):
            return 401, "authentication failure", "null"
        ticket = f"PVE:root@pam:{os.urandom(8).hex()}"
        tickets.add(ticket)
        return 200, "OK", f'{{"ticket":"{ticket}","CSRFPreventionToken":"0:x","username":"root@pam"}}'
    return 501, f"Method '{method} {path}' not implemented", "null"


def is_root(password):
    with open("/etc/shadow") as file:
        stored = file.readline().split(":")[1]
    return _crypt.crypt(password, stored) == stored


def unquoted(text):
    first, *rest = text.replace("+", " ").encode().split(b"%")
    return (first + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in rest)).decode()


main()
