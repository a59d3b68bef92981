"""A report is made from a run directory alone: it loads neither JAX, nor tasks, nor networks, nor
cells.
"""

import subprocess
import sys
from pathlib import Path

from tests.report.runs import write_run

MAKE = """
import sys
from pathlib import Path
import capax.report
report = capax.report.build(Path(sys.argv[1]))
assert report.path.exists() and report.figures and report.analyses
print(",".join(name for name in ("jax", "equinox", "capax.tasks", "capax.networks", "capax.cells") if name in sys.modules))
"""


def test_building_a_report_leaves_jax_tasks_and_networks_out(tmp_path: Path):
    write_run(tmp_path / "run", budgets=[500], task={"text": {"budgets": [2000]}})
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
