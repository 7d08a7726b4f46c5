#!/usr/bin/env bash
# uvicorn (asyncio): a server that is given a listening socket made by socket.socket(AF_INET, SOCK_STREAM) leaves TCP_NODELAY off on its connections, so that a small answer over a connection
# that is kept may wait some 40 ms. asyncio sets the option only where the socket's proto is IPPROTO_TCP, which it is where uvicorn binds by itself.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import threading
import time
from http.client import HTTPConnection

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

seen = []


class Seen(H11Protocol):
    def connection_made(self, transport):
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        seen.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def no_delay(protocol):
    """Whether the connections of a server have TCP_NODELAY; it is given a socket of a protocol, or binds by itself."""
    config = uvicorn.Config(app, port=0, http=Seen, loop="asyncio", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    sockets = None
    if protocol is not None:
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)]
        sockets[0].bind(("127.0.0.1", 0))
        sockets[0].listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = HTTPConnection("127.0.0.1", port)
    client.request("GET", "/")
    assert client.getresponse().read() == b"ok"
    client.close()
    server.should_exit = True
    thread.join()
    return seen.pop()


found = {
    "bound by uvicorn": no_delay(None),
    "socket(AF_INET, SOCK_STREAM)": no_delay(0),
    "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)": no_delay(socket.IPPROTO_TCP),
}
print("uvicorn", uvicorn.__version__, "TCP_NODELAY of a connection:", found)
assert found == {
    "bound by uvicorn": True,
    "socket(AF_INET, SOCK_STREAM)": False,
    "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)": True,
}, found
PYTHON
