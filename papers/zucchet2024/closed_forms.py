"""The figures of the source that need no network: signal propagation, landscapes of one eigenvalue,
correlations of sensitivities.

Each function returns a table and a figure; `measures.py` calls them. Everything is computed in
double precision.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from capax.report.style import COLOURS, LINES
from capax.theory import landscape, moments

RATES = (0.0, 0.9, 0.99, 0.999, 1.0)
"""rho: inputs with the autocorrelation rho^D."""

DISTANCES = tuple(2.0**k / 100 for k in range(7))
"""1 - |lambda*|: .01, .02, .. .64."""


TABULATED = (0.1, 0.01, 0.001, 0.0001)
"""1 - lambda: where the table of `propagation` has its curves."""


def propagation() -> tuple[pd.DataFrame, Figure]:
    """E h^2 and E (dh/dlambda)^2 against 1 - lambda, as they are and with normalised inputs and the
    exponential parametrisation.
    """
    distance = np.geomspace(1, 1e-4, 200)[1:]
    lam = jnp.asarray(1 - distance)
    panels = {
        "E h²": moments.state_variance,
        "E (dh/dλ)²": moments.sensitivity_variance,
        "E h², inputs normalised": moments.normalised_state_variance,
        "E (dh/dw)², inputs normalised, λ = exp(−exp(w))": moments.normalised_modulus_sensitivity,
    }
    figure = Figure((9.5, 7.0), layout="constrained")
    rows = []
    for axes, (title, function) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for number, rho in enumerate(RATES):
            values = np.asarray(function(lam, rho))
            axes.loglog(distance, values, color=COLOURS[number], linestyle=LINES[number], label=f"ρ = {rho:g}")
            at = {f"1 − λ = {d:g}": float(function(1 - d, rho)) for d in TABULATED}
            rows.append({"quantity": title, "rho": rho, **at})
        axes.invert_xaxis()
        axes.set(title=title, xlabel="1 − λ")
    figure.axes[0].legend()
    return pd.DataFrame(rows), figure


def landscapes() -> tuple[pd.DataFrame, Figure]:
    """The loss around the teacher's eigenvalue along the modulus and along the angle, for three
    parametrisations, and what the Hessian there is; and Adam's way through the plane of the polar
    one, in which the angle is what is hard to learn.
    """
    names = ("cartesian", "polar", "exponential", "optimal, scale held")
    angle = math.pi / 100
    rows = []
    figure = Figure((10.0, 9.0), layout="constrained")
    axes = figure.subplots(3, 2)
    moved = np.linspace(-0.99, 0.99, 397)
    for number, distance in enumerate(DISTANCES):
        teacher = (1 - distance) * np.exp(1j * angle)
        style = {"color": COLOURS[number], "linestyle": LINES[number], "label": f"{1 - distance:g}"}
        axes[0, 0].plot(moved, np.asarray(landscape.loss(jnp.asarray(moved) * np.exp(1j * angle), teacher)), **style)
        turned = np.linspace(-math.pi, math.pi, 721)
        axes[0, 1].plot(turned, np.asarray(landscape.loss((1 - distance) * jnp.exp(1j * turned), teacher)), **style)
    for name in names:
        for normalised in (False, True):
            for distance in DISTANCES:
                hessian = np.asarray(landscape.hessian(name, 1 - distance, angle, normalised=normalised))
                rows.append(
                    {
                        "parametrisation": name,
                        "normalised": normalised,
                        "distance": distance,
                        "modulus": hessian[0, 0],
                        "angle": hessian[1, 1],
                        "mixed": hessian[0, 1],
                    }
                )
    frame = pd.DataFrame(rows)
    for column, what in enumerate(("modulus", "angle")):
        for number, name in enumerate(names):
            for normalised, marker in ((False, "o"), (True, "s")):
                part = frame[(frame["parametrisation"] == name) & (frame["normalised"] == normalised)]
                label = f"{name}{', normalised' if normalised else ''}"
                shown = part[part[what] > 0]
                axes[1, column].loglog(
                    shown["distance"],
                    shown[what],
                    marker=marker,
                    ms=4,
                    color=COLOURS[number],
                    linestyle=LINES[number if normalised else 4],
                    label=label,
                )
        axes[1, column].invert_xaxis()
        axes[1, column].set(
            title=f"Hessian at the teacher, first parameter: {what}"
            if column == 0
            else "Hessian at the teacher, second parameter: angle",
            xlabel="1 − |λ*|",
        )
    axes[0, 0].set(
        title="Loss along the modulus", xlabel="ν (sign: the opposite direction)", ylabel="loss", yscale="symlog"
    )
    axes[0, 1].set(title="Loss along the angle", xlabel="θ", yscale="symlog")
    axes[0, 1].legend(title="|λ*|", fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes[1, 1].legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for column, name in enumerate(("polar", "exponential")):
        rows_of_path, path = _adam(name)
        frame = pd.concat([frame, rows_of_path], ignore_index=True)
        _plane(axes[2, column], name, path)
    return frame, figure


START, TEACHER = 0.99 * np.exp(1j * math.pi / 4), 0.99 * np.exp(1j * math.pi / 100)
STEPS, LEARNING_RATE = 20_000, 1e-3


def _adam(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Adam's path from START to TEACHER in a parametrisation, normalised inputs: eigenvalues, one a
    step.
    """
    optimiser = optax.adam(LEARNING_RATE)
    start = landscape.parameters(name, abs(START), float(np.angle(START)))

    def loss(w: jax.Array) -> jax.Array:
        return landscape.loss(landscape.PARAMETRISATIONS[name](w), TEACHER, normalised=True)

    def step(carry, _):
        w, state = carry
        updates, state = optimiser.update(jax.grad(loss)(w), state)
        return (optax.apply_updates(w, updates), state), landscape.PARAMETRISATIONS[name](w)

    (w, _), path = jax.jit(lambda w: jax.lax.scan(step, (w, optimiser.init(w)), None, STEPS))(start)
    path = np.asarray(path)
    row = {
        "parametrisation": f"Adam, {name}",
        "normalised": True,
        "distance": 0.01,
        "modulus": abs(path[-1]),
        "angle": np.angle(path[-1]),
        "loss": float(loss(w)),
    }
    return pd.DataFrame([row]), path


def _plane(axes, name: str, path: np.ndarray) -> None:
    modulus, angle = np.meshgrid(1 - np.geomspace(3e-3, 0.3, 120), np.linspace(-0.1, 1.0, 160))
    loss = np.asarray(landscape.loss(jnp.asarray(modulus * np.exp(1j * angle)), TEACHER, normalised=True))
    drawn = axes.pcolormesh(
        1 - modulus, angle, loss, cmap="viridis", norm=LogNorm(1e-3, 1.0), shading="gouraud", rasterized=True
    )
    axes.plot(1 - np.abs(path), np.angle(path), color="white", lw=1.5)
    axes.plot(1 - abs(START), np.angle(START), "o", color="white", ms=6)
    axes.plot(1 - abs(TEACHER), np.angle(TEACHER), "*", color="#D55E00", ms=13)
    axes.set(xscale="log", title=f"Adam's way, {name}, {STEPS:,} steps", xlabel="1 − ν", ylabel="θ")
    axes.invert_xaxis()
    axes.grid(False)
    if name == "polar":  # one scale for both
        axes.figure.colorbar(drawn, ax=axes, label="loss")


INTERFERES_AT = 0.99 * np.exp(1j * math.pi / 4)
"""lambda_0 of `disc`."""

DISC_RADIUS = 0.999


def share_of_disc(rho: float, cells: int = 1000) -> float:
    """The share of the disc's area where |d2S / (da db)| at (lambda, lambda_0) is above a hundredth
    of what it is at lambda = conj lambda_0.

    Counted at the middles of cells of equal area: rings of equal steps in the squared radius, and
    equal angles.
    """
    middles = (np.arange(cells) + 0.5) / cells
    lam = DISC_RADIUS * np.sqrt(middles)[:, None] * np.exp(2j * math.pi * middles)
    values = np.abs(np.asarray(moments.sensitivity_correlation(jnp.asarray(lam), INTERFERES_AT, rho)))
    own = float(np.abs(moments.sensitivity_correlation(np.conj(INTERFERES_AT), INTERFERES_AT, rho)))
    return float(np.mean(values > 0.01 * own))


def disc() -> tuple[pd.DataFrame, Figure]:
    """|d2S / (da db)| at (lambda, lambda_0) over the unit disc, lambda_0 = .99 exp(i pi / 4), the
    star: how far two units' gradients interfere. Its peak is at conj lambda_0, the circle.
    """
    at = INTERFERES_AT
    radius, angle = np.meshgrid(np.sqrt(np.linspace(0, DISC_RADIUS**2, 180)), np.linspace(-math.pi, math.pi, 361))
    lam = radius * np.exp(1j * angle)
    figure = Figure((12.0, 2.9), layout="constrained")
    rows, drawn = [], None
    all_axes = figure.subplots(1, len(RATES))
    for axes, rho in zip(all_axes, RATES, strict=True):
        values = np.abs(np.asarray(moments.sensitivity_correlation(jnp.asarray(lam), at, rho)))
        own = float(np.abs(moments.sensitivity_correlation(np.conj(at), at, rho)))
        drawn = axes.pcolormesh(
            lam.real,
            lam.imag,
            values / own,
            cmap="viridis",
            norm=LogNorm(1e-7, 1.0),
            shading="gouraud",
            rasterized=True,
        )
        axes.plot(at.real, at.imag, "*", color="#D55E00", ms=9)
        axes.plot(at.real, -at.imag, "o", color="#D55E00", ms=7, mfc="none")
        axes.set(title=f"ρ = {rho:g}", aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        axes.grid(False)
        rows.append(
            {
                "rho": rho,
                "at conj lambda_0": own,
                "share of the disc above a hundredth of it": share_of_disc(rho),
            }
        )
    figure.colorbar(drawn, ax=all_axes, label="relative to λ = conj λ₀")
    return pd.DataFrame(rows), figure
