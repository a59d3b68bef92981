"""The season of series: after how many steps they are most like themselves.

A season is found in the autocorrelation of the training part alone: of the differences from step to
step, in which a season of many ups and downs shows, or of the values around their trend, in which a
slow one does.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

MOST_VALUES, MOST_SERIES = 50_000, 20
"""So many last values of so many series are looked at."""
MOST_SCANNED = 400
"""The longest season that is looked for where the calendar gives none."""
LEAST_CORRELATION = 0.2
NEARLY = 0.05
"""The shortest season counts whose correlation is below the largest by no more."""
LEAST_RISE = 0.2
"""By so much the correlation at a whole season must be above what lies before it."""


def find(training: Sequence[Float[np.ndarray, "_"]], candidates: Sequence[int] | None) -> int:
    """The season in steps, 1 for none.

    **Arguments:** `training`: the training parts of series, without missing values; `candidates`:
    seasons by the calendar; None: any that the longest series shows at least three times.
    """
    longest = sorted(training, key=len, reverse=True)[:MOST_SERIES]
    looked_at = [series[-MOST_VALUES:] for series in longest if len(series) >= 8 and np.ptp(series) > 0]
    if not looked_at:
        return 1
    steps = len(looked_at[0])
    lags = range(2, min(MOST_SCANNED, steps // 3) + 1) if candidates is None else candidates
    possible = [lag for lag in lags if 2 <= lag <= steps // 2]
    if not possible:
        return 1
    most = min(steps - 2, 2 * max(possible))
    correlations = [_both(series, most) for series in looked_at if len(series) >= 2 * min(possible) + 2]
    if not correlations:
        return 1
    beside = 0.0 if candidates is None else NEARLY  # the days of a year grow longer and shorter
    scores = {lag: _score(correlations, lag, steps, beside) for lag in possible}
    best = max(scores.values())
    if best < LEAST_CORRELATION:
        return 1
    nearly = min(lag for lag in scores if scores[lag] >= best - NEARLY)  # seven days are a season, too, where one is
    around = [lag for lag in scores if nearly <= lag <= nearly + nearly // 4]
    return max(around, key=lambda lag: scores[lag])


def _both(series: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelations of the differences, and of the values around their trend."""
    time = np.arange(len(series))
    around = series - np.polyval(np.polyfit(time, series, 1), time)
    return autocorrelation(np.diff(series), most), autocorrelation(around, most)


def _score(correlations: list[tuple[np.ndarray, np.ndarray]], lag: int, steps: int, beside: float) -> float:
    """How much a lag is a season: the mean over series of the larger of both correlations, where it
    is a peak; below 0 where it is none. `beside`: by how much its neighbours may be above it.
    """
    found = []
    for differences, values in correlations:
        if lag >= len(differences):
            continue
        near = [differences[other] for other in (lag - 1, lag + 1) if other < len(differences)]
        peak = differences[lag] >= max(near) - beside and differences[lag] - min(differences[1:lag]) >= LEAST_RISE
        rises = values[lag] - values[max(1, lag // 2)] >= LEAST_RISE and steps >= 3 * lag
        found.append(max(differences[lag] if peak else -1.0, values[lag] if rises else -1.0))
    return float(np.mean(found)) if found else -1.0


def autocorrelation(series: Float[np.ndarray, " steps"], most: int) -> Float[np.ndarray, " lags"]:
    """At the lags from 0 to `most`, by the Fourier transform; 0 for a constant series. Sums of a
    lag are divided by the number of their terms, so that long lags are not weakened.
    """
    centred = series - series.mean()
    size = 1 << int(np.ceil(np.log2(len(series) + most + 1)))
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    sums = np.fft.irfft(spectrum, size)[: most + 1]
    counts = np.maximum(len(series) - np.arange(most + 1), 1)
    variance = sums[0] / len(series)
    if variance <= 1e-20 * max(1.0, float(np.mean(np.abs(series))) ** 2):
        return np.zeros(most + 1)
    return np.clip(sums / counts / variance, -1.0, 1.0)
