"""`capax serve`: show a run directory in the browser until Ctrl-C."""

import sys
from pathlib import Path

import uvicorn

from capax.serving.address import address, is_local, listen
from capax.serving.application import application
from capax.serving.view import View


def serve(place: str | Path, host: str, port: int, token: str | None, run: str | None = None) -> None:
    """Show a run until interrupted: that of a directory, or a run of a database.

    Raises `CapaxError` where there is none, and where the address cannot be used.
    """
    view = View(place, run)
    view.run()
    opened, where = listen(address(host, port, token))
    with opened:
        print(f"{view.place} is shown at {where.url} (Ctrl-C ends it; the run does not mind)", flush=True)
        if not is_local(host):
            print("capax: who has this address sees the run; it is not encrypted.", file=sys.stderr)
        server = uvicorn.Server(
            uvicorn.Config(
                application(view, where),
                http="h11",
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,  # it would hold the token
                server_header=False,
                proxy_headers=False,
                limit_concurrency=64,
                timeout_graceful_shutdown=1,
            )
        )
        try:
            server.run(sockets=[opened])
        except KeyboardInterrupt:
            print("capax: no longer shown; this has no effect on the run.", file=sys.stderr)
