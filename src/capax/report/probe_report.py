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
    """A measurement with its figure, and where both are."""

    measurement: Measurement
    figure: Figure
    directory: Path

    @property
    def frame(self) -> pd.DataFrame:
        """The measurement's table."""
        return self.measurement.frame

    @property
    def summary(self) -> dict[str, Any]:
        """The measurement's numbers by name."""
        return dict(self.measurement.summary)


def build(measurement: Measurement, directory: Path) -> ProbeReport:
    """Write PROBE.json, PROBE.csv, PROBE.svg, and PROBE.png into a directory."""
    figure, path = draw(measurement), directory / measurement.probe
    save_figure(figure, path)
    write_atomically(path.with_suffix(".csv"), measurement.frame.to_csv(index=False))
    write_atomically(path.with_suffix(".json"), json.dumps(as_json(measurement), indent=2))
    return ProbeReport(measurement, figure, directory)


def as_json(measurement: Measurement) -> dict[str, Any]:
    """The probe, its subject, its summary, and notes; what is infinite is the text "inf", since JSON has no number for it."""
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
