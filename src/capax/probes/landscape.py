"""The loss around a network's parameters: along two lines, and on the plane through both.

Symbols: p = parameters; theta = the network's; a and b = coordinates along the directions d_1 and
d_2.
"""

from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from capax.errors import CapaxError, closest
from capax.probes import adam
from capax.probes.curvature import as_in_training, loss_in_double_precision, steepest
from capax.probes.measurement import Measurement
from capax.probes.subject import Subject
from capax.training.population import default_batching

DIRECTIONS = ("random", "curvature", "path")

TOGETHER = 16
"""Points in a chunk: on a CPU one after the other, on an accelerator at once."""

STEP = 1e-4
"""Of the second difference, in units of distance: in double precision about as far from rounding as
from higher derivatives.
"""

THIN = 1e-6
"""A path whose second extent is less than this share of its first is a line."""

Points = Float[np.ndarray, "points two"]
Plane = Float[np.ndarray, "two p"]
Path = Float[np.ndarray, "states p"]


def measure(
    subject: Subject,
    *,
    directions: str = "random",
    radius: float | int = 1.0,
    points: int = 25,
    steps: int = adam.STEPS,
    learning_rate: float | int = adam.LEARNING_RATE,
) -> Measurement:
    """The task's loss on the fixed batch at theta + a d_1 + b d_2, theta being the network's
    parameters.

    As in Zucchet & Orvieto 2024, "Recurrent neural networks: vanishing and exploding
    gradients are not the end of the story"; directions as in Li et al. 2018, "Visualizing the
    loss landscape of neural nets".

    Computed in double precision; a loss that single precision, in which networks train, cannot hold
    is infinite.

    **Arguments:**

    - `directions`: "random", two Gaussian ones, in each group of parameters as long as the group
      itself (where it is zero, so are they); "curvature", the unit eigenvectors of the two largest
      eigenvalues of the Hessian; "path", the two principal components, of unit length, of the path
      that Adam takes from theta (the probe adam says how it trains).
    - `radius`: a and b run from -radius to radius; with "path" over the path's own range, made
      longer at either end by radius times half of it.
    - `points`: along a and along b.
    - `steps`, `learning_rate`: of Adam, with "path".

    **Returns:** `summary`: the loss at theta, the least on the grid, the curvature along each
    direction (second difference, in units of the loss per squared unit of parameters), whether any
    point of the grid is infinite; with "path", steps done, whether training diverged then, and how
    much of its mean squared distance from theta lies in the plane. `frame`: one row a point, of
    part "grid", "first" (b = 0), "second" (a = 0), or "path" (projected; the loss is the path's
    own). `arrays`: "first" and "second", the values of a and b; "grid", losses (a, b); "slices" (2,
    points); "directions" (2, p); with "path", "path" (states, 2).

    Raises `CapaxError` where the subject has no task, or for an option that cannot be.
    """
    _check(directions, radius, points)
    losses, of_path, path = Losses(subject), {}, None
    if directions == "path":
        path, of_path = _path(subject, steps, learning_rate)
        plane = _principal(path)
        of_path["share_of_path_in_plane"] = _share(path, plane)
    elif directions == "curvature":
        plane = steepest(subject, 2)
    else:
        plane = _random(subject)
    projected = None if path is None else path @ plane.T
    a, b = _axes(projected, radius, points)
    coordinates = {
        "grid": np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2),
        "first": np.stack([a, np.zeros(points)], axis=1),
        "second": np.stack([np.zeros(points), b], axis=1),
    }
    found = {part: losses.at(where @ plane) for part, where in coordinates.items()}
    arrays = {"first": a, "second": b, "directions": plane}
    arrays |= {"grid": found["grid"].reshape(points, points), "slices": np.stack([found["first"], found["second"]])}
    if path is not None and projected is not None:
        coordinates["path"], found["path"] = projected, losses.at(path)
        arrays["path"] = projected
    first, second = (losses.curvature(direction) for direction in plane)
    summary = {
        "directions": directions,
        "loss": float(losses.at(np.zeros((1, plane.shape[1])))[0]),
        "least_loss": float(found["grid"].min()),
        "curvature_along_first": first,
        "curvature_along_second": second,
        "any_infinite": bool(np.isinf(found["grid"]).any()),
        **of_path,
    }
    frame = pd.concat([_rows(part, coordinates[part], found[part]) for part in coordinates], ignore_index=True)
    return Measurement("landscape", subject.describe(), summary, frame, arrays)


def _check(directions: str, radius: float | int, points: int) -> None:
    if directions not in DIRECTIONS:
        raise CapaxError(
            f"probe landscape: unknown directions '{directions}'{closest(directions, list(DIRECTIONS))}; "
            f"choose of {', '.join(DIRECTIONS)}."
        )
    if not 0 < radius < np.inf or points < 2:
        raise CapaxError(f"probe landscape: radius must be above 0 and points at least 2, not {radius} and {points}.")


class Losses:
    """The loss at displacements from a subject's parameters."""

    def __init__(self, subject: Subject):
        with jax.enable_x64(True):
            self._vector, loss, _ = loss_in_double_precision(subject)
        batch_size = None if default_batching() == "mapped" else TOGETHER
        self._losses = jax.jit(lambda vector, away: jax.lax.map(loss, vector + away, batch_size=batch_size))

    def at(self, away: Float[np.ndarray, "points p"]) -> Float[np.ndarray, " points"]:
        """The loss at each displacement, in chunks of one size, so that it is compiled once."""
        padded = np.pad(away, ((0, -len(away) % TOGETHER), (0, 0)))
        chunks = padded.reshape(-1, TOGETHER, away.shape[1])
        with jax.enable_x64(True):
            found = [np.asarray(self._losses(self._vector[None], chunk)) for chunk in chunks]
        return as_in_training(np.concatenate(found)[: len(away)])

    def curvature(self, direction: Float[np.ndarray, " p"]) -> float:
        """The second derivative along a direction, per squared unit of distance; 0 along none."""
        length = np.linalg.norm(direction)
        if length == 0:
            return 0.0
        step = STEP * direction / length
        before, here, after = self.at(np.stack([-step, 0 * step, step]))
        if not np.isfinite([before, here, after]).all():
            return np.inf
        return float((before - 2 * here + after) / STEP**2)


def _random(subject: Subject) -> Plane:
    """Two Gaussian directions, scaled group by group to the length of the group's parameters."""
    vector, _, groups = subject.flat()
    theta = np.asarray(vector, np.float64)
    plane = np.random.default_rng(subject.seed).normal(size=(2, theta.size))
    for part in groups.values():
        lengths = np.linalg.norm(plane[:, part], axis=1, keepdims=True)
        plane[:, part] *= np.linalg.norm(theta[part]) / lengths
    return plane


def _path(subject: Subject, steps: int, learning_rate: float | int) -> tuple[Path, dict[str, Any]]:
    """Displacements from theta on Adam's path, and what came of the training."""
    states = list(adam.training(subject, steps, learning_rate))
    parameters = np.stack([np.asarray(state.parameters, np.float64) for state in states])
    return parameters - parameters[0], {"steps": int(states[-1].step), "diverged": int(states[-1].fault) > 0}


def _principal(path: Path) -> Plane:
    """The two principal components of displacements from theta, of unit length. They are not taken
    from their mean, so that theta, where the path begins, is in the plane.
    """
    components = np.linalg.svd(path, full_matrices=False)[2][:2]
    signs = np.where(components @ path[-1] < 0, -1.0, 1.0)  # to the right and up
    return signs[:, None] * components


def _share(path: Path, plane: Plane) -> float:
    """Of the path's squared displacements, how much is in the plane; all of it if it never
    moves.
    """
    whole = np.sum(path**2)
    return float(np.sum((path @ plane.T) ** 2) / whole) if whole else 1.0


def _axes(projected: Points | None, radius: float | int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """The values of a and b."""
    if projected is None:
        return np.linspace(-radius, radius, points), np.linspace(-radius, radius, points)
    low, high = projected.min(axis=0), projected.max(axis=0)
    half = (high - low) / 2
    half = np.where(half > THIN * half.max(), half, half.max() or 1.0)
    middle = (low + high) / 2
    a, b = (np.linspace(m - (1 + radius) * h, m + (1 + radius) * h, points) for m, h in zip(middle, half, strict=True))
    return a, b


def _rows(part: str, coordinates: Points, losses: Float[np.ndarray, " points"]) -> pd.DataFrame:
    return pd.DataFrame({"part": part, "first": coordinates[:, 0], "second": coordinates[:, 1], "loss": losses})
