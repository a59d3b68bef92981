"""What a measurement leaves behind: its numbers as JSON, its table as CSV, its figure."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from capax.files import write_atomically
from capax.probes.measurement import Measurement
from capax.report.probe_figures import draw
from capax.report.saving import save_figure


@dataclasses.dataclass(frozen=True)
class ProbeReport:
    """A measurement with its figure, if it has one, and where both are."""

    measurement: Measurement
    figure: Figure | None
    directory: Path

    @property
    def path(self) -> Path:
        """Of its files, without their suffix."""
        return self.directory / self.measurement.probe.replace(":", "_")

    @property
    def files(self) -> str:
        """Its files, in words."""
        suffixes = [".png", ".svg", ".csv", ".json"] if self.figure is not None else [".csv", ".json"]
        what = "figure, table, numbers" if self.figure is not None else "table, numbers"
        return f"{what}: {self.path}{', '.join(suffixes)}"

    @property
    def frame(self) -> pd.DataFrame:
        """The measurement's table."""
        return self.measurement.frame

    @property
    def summary(self) -> dict[str, Any]:
        """The measurement's numbers by name."""
        return dict(self.measurement.summary)


def build(measurement: Measurement, directory: Path) -> ProbeReport:
    """Write PROBE.json, PROBE.csv, and with a figure PROBE.svg and PROBE.png, into a directory."""
    report = ProbeReport(measurement, draw(measurement), directory)
    if report.figure is not None:
        save_figure(report.figure, report.path)
    write_atomically(Path(f"{report.path}.csv"), measurement.frame.to_csv(index=False))
    write_atomically(Path(f"{report.path}.json"), json.dumps(as_json(measurement), indent=2))
    return report


def as_json(measurement: Measurement) -> dict[str, Any]:
    """The probe, its subject, its summary, and notes; what is infinite is the text "inf", since
    JSON has no number for it.
    """
    return _plain(
        {
            "probe": measurement.probe,
            "subject": dict(measurement.subject),
            "summary": dict(measurement.summary),
            "notes": list(measurement.notes),
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf" if value < 0 else None
    return value
