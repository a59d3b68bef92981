"""The fixed list of what is served. No part of an address becomes a path of a file."""

import hashlib
import os
import stat
from collections.abc import Callable
from importlib import resources, util
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from capax.errors import CapaxError
from capax.serving.address import Address
from capax.serving.guard import Guard
from capax.serving.view import UnknownStudy, View

REPORT = "report.html"
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""A report is made of pictures and text. Whatever else stands in the file does not run."""

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/figures.js": ("figures.js", "text/javascript; charset=utf-8"),
}
"""The page's own files by address."""


def application(view: View, address: Address) -> Starlette:
    """The web application that shows a run."""
    static = resources.files("capax.serving") / "static"
    routes = [Route(path, _file((static / name).read_bytes(), media_type)) for path, (name, media_type) in PAGE.items()]
    routes += [
        Route("/plotly.js", _file(plotly().read_bytes(), "text/javascript; charset=utf-8")),
        Route("/api/run", lambda request: _json(view.run)),
        Route("/api/study", lambda request: _json(lambda: view.study(request.query_params.get("study", "")))),
        Route(f"/{REPORT}", lambda request: _report(view.directory)),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, address=address)])
    app.router.redirect_slashes = False
    return app


def plotly() -> Path:
    """The JavaScript that the package plotly ships; the package itself is not imported."""
    found = util.find_spec("plotly")
    assert found is not None and found.origin is not None, "looked for when this package is imported"
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


def _file(content: bytes, media_type: str) -> Callable[[Request], Response]:
    """An endpoint for a file that does not change; browsers ask whether they have it already."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}

    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return answer


def _json(read: Callable[[], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(read())
    except UnknownStudy as error:
        return JSONResponse({"error": str(error)}, 404)
    except CapaxError as error:
        return JSONResponse({"error": str(error)}, 503)


def _report(directory: Path | None) -> Response:
    """The report, where there is one. A link is not followed: it could show any file."""
    try:
        if directory is None:
            raise OSError
        path = directory / REPORT
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if path.is_symlink() or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError
            content = file.read()
    except OSError:
        return PlainTextResponse("There is no report yet.\n", 404)
    return Response(content, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": REPORT_POLICY})
