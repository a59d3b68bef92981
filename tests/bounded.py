"""What a process of its own needs to refuse files from anyone: time, memory, and its words."""

import json
import subprocess
import sys
from typing import NamedTuple

LOOK = """
import json, resource, sys, time
from pathlib import Path
from capax.errors import CapaxError
{imports}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before, told = peak(), {{}}
for name in sys.argv[1:]:
    began = time.perf_counter()
    try:
        {read}
    except CapaxError as error:
        told[Path(name).name] = (str(error), time.perf_counter() - began)
print(json.dumps({{"told": told, "MiB": peak() - before}}))
"""


class Looked(NamedTuple):
    """`told`: the message and the seconds of each file that was refused, by its name; `mebibytes`
    that all of them took at most.
    """

    told: dict[str, tuple[str, float]]
    mebibytes: float


def look(names: list[str], imports: str, read: str) -> Looked:
    """Read files one after another in a new process: `read`, an expression of `name`."""
    code = LOOK.format(imports=imports, read=read)
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return Looked(found["told"], found["MiB"])
