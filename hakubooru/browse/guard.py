"""Who may ask the server: the guard before every page, and the headers on every answer.

Any web page that a user opens can send requests to this machine. So a request must name this server as its host (a
foreign name that resolves to this machine does not), a request that changes something must come from our own pages, and
a server that others can reach asks for a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""The hosts that only this machine can reach."""
LARGEST_BODY: Final = 2**20
"""The most bytes of a request's body."""
_COOKIE: Final = "hakubooru_token"
_READING: Final = ("GET", "HEAD")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests of other sites and of other people; ASGI middleware.

    Args:
        app: the application behind the guard.
        host: the address that the server listens on.
        token: the secret that a request must bring, in its address once and then in a cookie; None asks for none.
    """

    def __init__(self, app: ASGIApp, *, host: str, token: str | None) -> None:
        self._app = app
        self._host = host
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: refuse it, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(Headers(scope=scope), scope["method"]) or self._admission(Request(scope))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers, method: str) -> Response | None:
        host = headers.get("host", "")
        if not self._is_ours(_name_of(host)):
            return PlainTextResponse(f"this server does not answer for the host {host!r}", 403)
        if method in _READING:
            return None
        if headers.get("origin") not in (f"http://{host}", f"https://{host}"):
            return PlainTextResponse("a change must come from a page of this server", 403)
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return PlainTextResponse(f"a body has a length, and at most {LARGEST_BODY:,} bytes", 413)
        return None

    def _is_ours(self, name: str) -> bool:
        if name in LOOPBACK or name == self._host:
            return True
        # Off loopback, a request may come by any address of this machine; the token keeps others out.
        return self._token is not None and (_is_address(name) or name == socket.gethostname().lower())

    def _admission(self, request: Request) -> Response | None:
        if self._token is None:
            return None
        offered = request.query_params.get("token")
        if offered is not None and _equal(offered, self._token):
            others = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            answer = RedirectResponse(f"{request.url.path}?{urlencode(others)}".rstrip("?"), 303)
            answer.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
            return answer
        if _equal(request.cookies.get(_COOKIE, ""), self._token):
            return None
        return PlainTextResponse(
            "open the address that `hakubooru browse` has printed: it has the token", 401
        )


def _equal(offered: str, token: str) -> bool:
    return hmac.compare_digest(offered.encode(), token.encode())


def _name_of(host: str) -> str:
    """The name in a Host header, without its port and the brackets of an IPv6 address."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or not port.isdecimal():
        name = host.lower()
    return name.removeprefix("[").removesuffix("]")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
