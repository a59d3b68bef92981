"""A live view of a run directory in the browser, by `capax serve`.

address: where it listens, under which names. guard: which requests are refused. application: the
fixed list of what is served. view: the directory, read again where it changed. summary and trials:
what the page is told. static/: the page.
"""

from importlib import util

from capax.errors import CapaxError

for _package in ("starlette", "uvicorn", "plotly"):
    if util.find_spec(_package) is None:
        raise CapaxError(f"the live view needs the package {_package}: pip install 'capax[serve]'.")
