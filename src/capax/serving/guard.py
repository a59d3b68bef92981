"""Which requests are answered: those of the page itself, from who has the token. All others are
refused in one line, before anything is read.
"""

import secrets
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from capax.serving.address import Address

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The hash is that of no text at all: the plotting library makes an empty style sheet.
        "style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What the page may load and run: our own files. No text can become a script."""

HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise."""


class Guard:
    """ASGI middleware: refuses requests, and gives every answer its headers."""

    def __init__(self, app: ASGIApp, address: Address):
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or refuse it; only HTTP is spoken."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        await (self._instead(request) or self._app)(scope, receive, send_with_headers)

    def _instead(self, request: Request) -> Response | None:
        """What is answered in place of what was asked for; None where the request is in order."""
        checks: tuple[Callable[[Request], Response | None], ...] = (_method, self._host, _site, self._token)
        return next((answer for check in checks if (answer := check(request)) is not None), None)

    def _host(self, request: Request) -> Response | None:
        hosts = request.headers.getlist("host")
        if len(hosts) == 1 and self._address.answers_to(hosts[0]):
            return None
        return _refused("this server has another name; open the address that capax serve printed")

    def _token(self, request: Request) -> Response | None:
        """Ask for the token once; from then on a cookie has it, and no address."""
        token = self._address.token
        if token is None:
            return None
        if request.url.path == "/" and _same(request.query_params.get("token"), token):
            answer = RedirectResponse("/", status_code=303)
            answer.set_cookie(self._address.cookie, token, httponly=True, samesite="strict")
            return answer
        if _same(request.cookies.get(self._address.cookie), token):
            return None
        return _refused("a token is needed; open the address that capax serve printed, which has it")


def _method(request: Request) -> Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    return PlainTextResponse("Refused: this view is only for looking.\n", 405, {"Allow": "GET, HEAD"})


def _site(request: Request) -> Response | None:
    """Refuse what another page asked for, by what browsers say of it."""
    site, origin = request.headers.get("sec-fetch-site", "none"), request.headers.get("origin")
    own = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if own and site in ("none", "same-origin"):
        return None
    return _refused("another page asked for this; copy the address into the browser's address bar")


def _same(given: str | None, token: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), token.encode())


def _refused(why: str) -> Response:
    return PlainTextResponse(f"Refused: {why}.\n", 403)
