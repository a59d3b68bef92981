"""TensorBoard: an event file a trial, under `tensorboard/` in the run directory. It needs neither
TensorFlow nor PyTorch.

A trial's file is written whole each time that it is told, so that nothing is in it twice.
"""

# pyright: reportAttributeAccessIssue=false
# (Its protocol buffers have names that exist at run time alone.)

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from capax.files import write_atomically
from capax.sinks.sink import Sink, TrialReport

FOLDER, FILE = "tensorboard", "events.out.tfevents.0.capax"
STATUS = {
    "complete": api_pb2.STATUS_SUCCESS,
    "stopped": api_pb2.STATUS_SUCCESS,
    "infeasible": api_pb2.STATUS_FAILURE,
}


class TensorBoard(Sink):
    """Event files of scalars and hyperparameters."""

    def __init__(self, directory: Path):
        self._directory = directory / FOLDER

    @classmethod
    def begin(cls, name: str, identity: str, directory: Path) -> "TensorBoard":
        del name, identity
        return cls(directory)

    def take(self, trial: TrialReport) -> None:
        path, content = self._directory / _folder(trial.name) / FILE, _content(trial)
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, content)


def _folder(name: str) -> str:
    """A study and a trial as two folders."""
    return "".join(letter if letter.isalnum() or letter in "-_./" else "_" for letter in name).replace("..", "__")


def _content(trial: TrialReport) -> bytes:
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)  # pyright: ignore[reportArgumentType]  (any binary file will do)
    for event in _events(trial):
        writer.write(event.SerializeToString(deterministic=True))
    return buffer.getvalue()


def _events(trial: TrialReport) -> Iterator[Event]:
    """In the order of steps; the time of an event is in seconds of training."""
    yield Event(wall_time=0.0, file_version="brain.Event:2")
    hyperparameters = {name: _plain(value) for name, value in trial.hyperparameters.items()}
    yield Event(wall_time=0.0, summary=hparams_pb(hyperparameters, trial.name, start_time_secs=0.0))
    for step, loss in trial.curve:
        yield _scalar(trial, step, "loss", loss)
    for name, value in trial.scores.items():
        yield _scalar(trial, trial.steps, name, value)
    if trial.state in STATUS:
        yield Event(wall_time=trial.seconds, summary=_ended(trial))


def _ended(trial: TrialReport) -> Summary:
    """That a trial has ended, and how, for the table of hyperparameters. (TensorBoard's own
    `session_end_pb` imports TensorFlow.)
    """
    info = SessionEndInfo(status=STATUS[trial.state], end_time_secs=trial.seconds)
    described = metadata.create_summary_metadata(HParamsPluginData(session_end_info=info))
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=described, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])


def _scalar(trial: TrialReport, step: int, name: str, value: float) -> Event:
    seconds = trial.seconds * step / max(1, trial.steps)
    return Event(wall_time=seconds, step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]))


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)
