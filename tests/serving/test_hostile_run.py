"""A run directory from someone else: nothing in it runs, and what it says is shown as text."""

import json
import os
import pickle
import subprocess
import sys

from capax.serving.view import View
from tests.report.runs import ONE_STUDY, write_run

NAME = "<script>alert(1)</script>"
STUDY = 'evil"><img src=x onerror=alert(1)>'
SCORE = '<a href="javascript:alert(1)">bits</a>'


LOOK = """
import json, sys
from pathlib import Path

SEEN = []
WATCHED = {"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "ctypes.dlopen"}


def watch(event, arguments):
    if event in WATCHED or event == "import" and arguments[0] in ("evil", "torch"):
        SEEN.append(event)


from starlette.testclient import TestClient
from capax.serving.address import Address
from capax.serving.application import application
from capax.serving.view import View

directory, study = Path(sys.argv[1]), sys.argv[2]
client = TestClient(application(View(directory), Address("127.0.0.1", 1, None)), base_url="http://127.0.0.1:1")
client.get("/api/run")
sys.addaudithook(watch)
view = TestClient(application(View(directory), Address("127.0.0.1", 1, None)), base_url="http://127.0.0.1:1")
found = [view.get(path, params={"study": study}) for path in ("/api/run", "/api/study", "/report.html", "/")]
print(json.dumps({"seen": SEEN, "codes": [each.status_code for each in found], "loaded": "evil" in sys.modules}))
"""


class Bomb:
    """What leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def hostile(directory, blown):
    """A run directory with a hostile name and study, the cell of a file of its own, and pickles
    where there are data.
    """
    (study,) = write_run(directory, **ONE_STUDY).studies
    text = (directory / "experiment.json").read_text()
    record = json.loads(text.replace(json.dumps(study.name), json.dumps(STUDY)).replace('"rnn"', '"evil:Cell"'))
    record["experiment"] |= {"name": NAME, "question": NAME}
    for task in record["tasks"].values():
        task["reporting"]["score"] = SCORE  # stands in a figure, too
    (directory / "experiment.json").write_text(json.dumps(record))
    journal = (directory / "optuna.journal").read_text()
    renamed = journal.replace(json.dumps(study.name), json.dumps(STUDY))
    (directory / "optuna.journal").write_text(
        renamed.replace(json.dumps(f"{study.name} reruns"), json.dumps(f"{STUDY} reruns"))
    )
    bomb = pickle.dumps(Bomb(blown))
    for name in ("curves/evil___img_src_x_onerror_alert_1__/00000.parquet", "models/evil.safetensors", "progress.json"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(bomb)
    (directory / "report.html").write_text(f"{NAME}")
    (directory / "evil.py").write_text(f"import os\nos.mkdir({str(blown)!r})\n")
    return directory


def test_nothing_that_a_run_directory_holds_is_run(tmp_path):
    directory, blown = hostile(tmp_path / "run", tmp_path / "blown"), tmp_path / "blown"
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(directory), STUDY],
        **{"cwd": directory, "env": environment, "capture_output": True, "text": True, "timeout": 300},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"seen": [], "codes": [200, 200, 200, 200], "loaded": False}
    assert not blown.exists()


def test_hostile_names_are_told_as_they_are_for_the_page_to_show_as_text(tmp_path):
    found = View(hostile(tmp_path / "run", tmp_path / "blown"))
    assert found.run()["name"] == NAME and found.run()["studies"][0]["study"] == STUDY
    assert found.study(STUDY)["trials"][0]["state"] == "complete" and found.study(STUDY)["cell"] == "evil:Cell"
