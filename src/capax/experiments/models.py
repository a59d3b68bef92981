"""What drives a trained network again: the task that it learned, with the very files that it was
trained on.
"""

import json
from pathlib import Path

from capax import contents, tasks, user_code
from capax.errors import CapaxError
from capax.experiments.record import RunRecord, from_json
from capax.search.store import EXPERIMENT
from capax.tasks.task import Task
from capax.training.model import Card


def task_of(path: Path, card: Card) -> Task | None:
    """The task that a model was trained on, with the very files, which are looked for where its run
    directory says they were; None where they are not there, or are others now.

    Raises `CapaxError` where the task itself cannot be had, as a user's own without its module.
    """
    user_code.check_trusted(card.task, "task")
    options = dict(card.task_options)
    for content in card.contents:
        found = _where(path, content)
        if found is None:
            return None
        if content.option is not None:
            options[content.option] = str(found)
    try:
        task = tasks.get(card.task, **options)
    except CapaxError:
        if card.contents:  # the text is another one now
            return None
        raise
    same = [content.sha256 for content in task.contents()] == [content.sha256 for content in card.contents]
    return task if same else None


def _where(path: Path, content: contents.Content) -> Path | None:
    """Where a file is that a model was trained on; for a text that is no file, the model's own
    path.
    """
    if content.option is None:
        return path
    record = _record(path.resolve().parent.parent)
    known = [] if record is None else [each for task in record.tasks.values() for each in task.contents]
    places = [Path(each.path) for each in known if each.sha256 == content.sha256 and each.path is not None]
    return next((place for place in places if place.exists()), None)


def _record(directory: Path) -> RunRecord | None:
    try:
        return from_json(json.loads((directory / EXPERIMENT).read_text(encoding="utf-8")), str(directory))
    except (OSError, ValueError, CapaxError):
        return None
