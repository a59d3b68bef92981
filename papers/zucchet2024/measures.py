"""The figures of the source that need no study: python papers/zucchet2024/measures.py desk
runs/zucchet2024

Closed forms (`closed_forms.py`), and capax's probes on networks at initialisation or at an optimum.
Each figure is a table (.csv) and an image (.png, .svg) in the given folder; those that are there
already are left as they are, so that the same command goes on after an interruption. Tables have
what RESULTS.md says in numbers, figures the whole curves.
"""

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import closed_forms
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree
from jaxtyping import Complex128, Float
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from capax import tasks
from capax.cells.diagonal import ComplexDiagonal
from capax.cells.sequence import Dense
from capax.files import write_atomically
from capax.networks.network import Network
from capax.networks.parts import trainable
from capax.probes import Subject, adam, autocorrelation, curvature, jacobian, propagation
from capax.probes.text import sequences
from capax.report.probe_figures import draw
from capax.report.saving import save_figure
from capax.report.style import COLOURS, LINES, look
from capax.tasks.batch import SequenceBatch

Found = tuple[pd.DataFrame, Figure]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes: of the deep networks and gates that are probed, and of the trainings whose learning
    rates are looked at.
    """

    units: int
    length: int
    batch: int
    steps: int
    training_batch: int


PRESETS = {
    "desk": Preset(units=64, length=256, batch=16, steps=1000, training_batch=32),
    "full": Preset(units=256, length=512, batch=64, steps=10_000, training_batch=128),
}


def text_inputs(preset: Preset, kind: str = "letters") -> np.ndarray:
    """(sequences, time, features), every feature with mean 0 and, all together, a variance of 1 a
    feature.
    """
    return sequences(kind, None, preset.length).values


# The Hessian at the optimum


PHASES, MODULI = (0.3, 0.7), (0.990, 0.993)

SYSTEMS = ("heads-1", "system-diagonal", "system-lru", "system-s4d")
"""The cells that can be the same linear system."""

Complex = Complex128[np.ndarray, "2"]


@dataclasses.dataclass(frozen=True)
class System:
    """A linear system with two pairs of conjugate eigenvalues `lam`, B and C, and an orthonormal
    basis in which it is dense.
    """

    lam: Complex
    B: Complex
    C: Complex
    basis: Float[np.ndarray, "4 4"]


def drawn_system(seed: int, phases: tuple[float, ...] = PHASES) -> System:
    """B, C, and the basis at random, the eigenvalues as given."""
    random = np.random.default_rng(seed)
    lam = np.array([m * np.exp(1j * p) for m, p in zip(MODULI, phases, strict=True)])
    B, C = (random.normal(size=2) + 1j * random.normal(size=2) for _ in range(2))
    return System(lam, B, C, np.linalg.qr(random.normal(size=(4, 4)))[0])


def network_of(kind: str, system: System) -> Network:
    """The system as a network of one kind of cell."""
    lam, B, C, q = system.lam, system.B, system.C, system.basis
    network = Network.create(kind, inputs=1, outputs=1, units=4, key=jax.random.key(0))
    cell, readout = network.layers[0], np.concatenate([C.real, -C.imag])
    if kind == "heads-1":  # the real form of the same system
        W = np.block([[np.diag(lam.real), -np.diag(lam.imag)], [np.diag(lam.imag), np.diag(lam.real)]])
        new = {"W": (q @ W @ q.T)[None], "B": (q @ np.concatenate([B.real, B.imag]))[:, None]}
        readout = q @ readout
    else:
        new = _eigenvalues(kind, lam)
        with_eigenvalues = eqx.tree_at(
            lambda c: [getattr(c, name) for name in new], cell, [jnp.asarray(v) for v in new.values()]
        )
        gain = np.asarray(with_eigenvalues.gain()[0]) + 1j * np.asarray(with_eigenvalues.gain()[1])
        new |= {"B_real": (B / gain).real[:, None], "B_imaginary": (B / gain).imag[:, None]}
    cell = eqx.tree_at(lambda c: [getattr(c, name) for name in new], cell, [jnp.asarray(v) for v in new.values()])
    return eqx.tree_at(
        lambda n: (n.layers, n.readout.weight, n.readout.bias, n.direct),
        network,
        ((cell,), jnp.asarray(readout)[None], jnp.zeros(1), jnp.full((1, 1), 0.5)),
    )


def at_the_optimum(kind: str, system: System) -> Subject:
    """A network that is its own teacher, on 64 sequences of 300 steps."""
    network = network_of(kind, system)
    x = Dense(jax.random.normal(jax.random.key(1), (300, 1, 64), jnp.float64))
    draw = SequenceBatch(x, network.run(x), jnp.ones((300, 64)))
    return Subject(kind, kind, network, draw, tasks.get("teacher", time_steps=300), 0)


def _eigenvalues(kind: str, lam: np.ndarray) -> dict[str, np.ndarray]:
    if kind == "system-diagonal":
        return {"a": lam.real, "b": lam.imag}
    if kind == "system-lru":
        modulus = np.abs(lam)
        return {
            "w_nu": np.log(-np.log(modulus)),
            "w_theta": np.log(np.angle(lam)),
            "w_gamma": 0.5 * np.log(1 - modulus**2),
        }
    step = 0.1  # S4D's Delta
    return {
        "w_decay": np.log(-np.log(np.abs(lam)) / step),
        "frequency": np.angle(lam) / step,
        "w_step": np.full(2, math.log(step)),
    }


def hessian(preset: Preset) -> Found:
    """Blocks, spectrum, and on how many parameters the steepest directions live, of one system."""
    del preset  # the source's own size
    found, system = {}, drawn_system(0)
    with jax.enable_x64(True):
        for kind in SYSTEMS:
            found[kind] = curvature.measure(at_the_optimum(kind, system), method="full", eigenvalues=4)
    rows = []
    figure = Figure((12.0, 7.0), layout="constrained")
    axes = figure.subplots(2, len(SYSTEMS), height_ratios=(1.5, 1))
    for number, (kind, measured) in enumerate(found.items()):
        values, vectors = measured.arrays["eigenvalues"], measured.arrays["eigenvectors"]
        ratios = curvature.participation(vectors)
        size = vectors.shape[1]
        rows.append(
            {
                "cell": kind,
                "parameters": size,
                "loss": measured.summary["loss"],
                "largest eigenvalue": values[0],
                "trace": measured.summary["trace"],
                "participation, mean of top 4": ratios.mean(),
                "its share of the parameters": ratios.mean() / size,
            }
        )
        upper, lower = axes[:, number]
        matrix = np.abs(measured.arrays["hessian"])
        drawn = upper.imshow(np.maximum(matrix, 1e-12), cmap="viridis", norm=LogNorm(1e-4, 1e7))
        borders = np.cumsum(measured.arrays["group_sizes"])[:-1] - 0.5
        for border in borders:
            upper.axhline(border, color="white", lw=0.5)
            upper.axvline(border, color="white", lw=0.5)
        upper.set(title=f"{kind}, {size} parameters", xticks=(), yticks=())
        upper.grid(False)
        lower.semilogy(np.arange(1, size + 1), np.maximum(np.abs(values), 1e-12), "o", ms=4, color=COLOURS[number])
        lower.set(xlabel="eigenvalue, by size", ylim=(1e-6, 1e8), title=f"top 4 live on {ratios.mean():.1f} parameters")
    figure.colorbar(drawn, ax=axes[0, :], label="|H|, by groups of parameters")
    axes[1, 0].set_ylabel("|eigenvalue|")
    return pd.DataFrame(rows), figure


DRAWS = 20
"""Systems whose Hessians `hessian_draws` looks at, of each kind."""


def hessian_draws(preset: Preset) -> Found:
    """Of many systems: how large the largest eigenvalue is beside the complex diagonal cell's of
    the same system, and on how many parameters the top four eigenvectors live.
    """
    del preset  # the source's own size
    among = {
        f"phases {PHASES[0]} and {PHASES[1]}": [drawn_system(seed) for seed in range(DRAWS)],
        "phases uniform in [.1, 3]": [
            drawn_system(seed, tuple(np.random.default_rng([seed, 1]).uniform(0.1, 3.0, size=2)))
            for seed in range(DRAWS)
        ],
    }
    with jax.enable_x64(True):
        hessian_of = {kind: _hessian_of(kind) for kind in SYSTEMS}
        tops = {key: {kind: _tops(hessian_of[kind], kind, all_) for kind in SYSTEMS} for key, all_ in among.items()}
    rows = []
    figure = Figure((9.0, 6.5), layout="constrained")
    axes = figure.subplots(2, len(tops), sharex=True, sharey="row")
    for column, (title, of) in enumerate(tops.items()):
        for number, kind in enumerate(SYSTEMS):
            largest, ratios = of[kind]
            beside = largest / of["system-diagonal"][0]
            rows.append(
                {
                    "drawn": title,
                    "cell": kind,
                    "largest eigenvalue, median [least, most]": _spread(largest),
                    "beside the diagonal cell's of the same system": _spread(beside),
                    "draws in which it is smaller": f"{np.sum(beside < 1)} of {DRAWS}",
                    "participation, mean of top 4": _spread(ratios),
                }
            )
            for axis, values in zip(axes[:, column], (beside, ratios), strict=True):
                aside = np.linspace(-0.25, 0.25, DRAWS)
                axis.semilogy(number + aside, values, "o", ms=4, color=COLOURS[number], alpha=0.7)
                axis.hlines(np.median(values), number - 0.35, number + 0.35, color=COLOURS[number], lw=2.2)
        axes[0, column].set_title(title)
        axes[1, column].set_xticks(range(len(SYSTEMS)), SYSTEMS, rotation=25, ha="right")
    axes[0, 0].set_ylabel("largest eigenvalue,\nbeside system-diagonal's")
    axes[1, 0].set_ylabel("parameters that the\ntop 4 eigenvectors live on")
    return pd.DataFrame(rows), figure


def _hessian_of(kind: str) -> Callable[[jax.Array], jax.Array]:
    """From the parameters of a network that is its own teacher to its Hessian, compiled once for
    all systems.
    """
    first = at_the_optimum(kind, drawn_system(0))
    _, with_parameters, _ = first.flat()

    @jax.jit
    def hessian(vector: jax.Array) -> jax.Array:
        targets = with_parameters(vector).run(first.draw.inputs)
        subject = dataclasses.replace(first, draw=dataclasses.replace(first.draw, targets=targets))
        return jax.hessian(lambda vector: subject.loss(with_parameters(vector)))(vector)

    return hessian


def _tops(
    hessian_of: Callable[[jax.Array], jax.Array], kind: str, systems: list[System]
) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
    """Of each system the largest eigenvalue, and the mean participation ratio of the top four
    eigenvectors.
    """
    largest, ratios = [], []
    for system in systems:
        vector, _ = ravel_pytree(eqx.filter(network := network_of(kind, system), trainable(network)))
        values, vectors = np.linalg.eigh(np.asarray(hessian_of(vector)))
        order = np.argsort(-np.abs(values))[:4]
        largest.append(values[order[0]])
        ratios.append(curvature.participation(vectors[:, order].T).mean())
    return np.asarray(largest), np.asarray(ratios)


def _spread(values: Float[np.ndarray, " draws"]) -> str:
    return f"{np.median(values):.3g} [{values.min():.3g}, {values.max():.3g}]"


# Adam's effective learning rates


def rates(preset: Preset) -> Found:
    """In training on a teacher with nu_0 = .99: at one learning rate that all bear, and at each
    one's own.
    """
    task = tasks.get("teacher", batch_size=preset.training_batch, held_out=64)
    kinds = {
        "heads-1": 1e-4,
        **dict.fromkeys(("heads-4", "heads-16"), 3e-4),
        "heads-32": 3e-3,
        "system-diagonal": 3e-3,
        "system-lru": 1e-2,
    }
    rows = []
    figure = Figure((9.5, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for column, (title, own) in enumerate(
        {"at a learning rate of 1e-5": False, "at its own learning rate": True}.items()
    ):
        for number, (kind, rate) in enumerate(kinds.items()):
            subject = Subject.create(
                kind, units=64, task=task, batch=preset.training_batch, hyperparameters={"least_modulus": 0.0}
            )
            chosen = rate if own else 1e-5
            found = adam.measure(subject, steps=preset.steps, learning_rate=chosen)
            recurrent = found.frame[found.frame["recurrent"]]
            rows.append(
                {
                    "cell": kind,
                    "learning rate": chosen,
                    "median of recurrent parameters": found.summary["median_recurrent_rate"],
                    "of all": found.summary["median_rate"],
                    "loss before": found.summary["loss_before"],
                    "loss after": found.summary["loss_after"],
                    "diverged at step": found.summary["diverged_at_step"],
                    "groups": ", ".join(name.rpartition(".")[2] for name in recurrent["group"]),
                }
            )
            axes[column].semilogy(
                found.arrays["steps"],
                found.arrays["recurrent_medians"],
                color=COLOURS[number],
                linestyle=LINES[number],
                label=kind,
            )
        axes[column].set(title=title, xlabel="training step")
    axes[0].set_ylabel("median effective learning rate\nof recurrent parameters")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return pd.DataFrame(rows), figure


# Real sequences


LAGS = (1, 2, 3, 5, 10, 20, 50, 100)
"""Where the tables have autocorrelations."""


def real_text(kind: str) -> Callable[[Preset], Found]:
    """The autocorrelation of letters, words, or embedded tokens of a whole real text, with its
    fit.
    """

    def found(preset: Preset) -> Found:
        data = text_inputs(preset, kind)
        measured = autocorrelation.measure(Subject.create("gru", units=8, data=data, batch=len(data)))
        frame = measured.frame
        shown = frame[(frame["sequence"] == autocorrelation.INPUT) & frame["lag"].isin(LAGS)]
        measured_of = f"R(D) / R(0), {len(data):,} windows of {preset.length} steps"
        table = shown[["lag", "measured", "fitted"]].rename(columns={"measured": measured_of})
        return table, draw(measured)

    return found


def memories() -> tuple[float, ...]:
    """t: units remember for t to 2 t steps."""
    return tuple(10 ** (k / 2) for k in range(5))


def deep(preset: Preset, kind: str = "letters") -> Found:
    """Four blocks at initialisation, on real text: activity and gradients by layer, as memory
    grows, with and without layer norm.
    """
    data, rows = text_inputs(preset, kind), []
    for kind in ("block-diagonal", "block-lru", "block-chrono"):
        for norm in ("none", "layer"):
            for t in memories():
                own = {"longest": max(1.0, 2 * t)} if kind == "block-chrono" else {}
                subject = Subject.create(
                    kind, units=preset.units, depth=4, data=data, batch=preset.batch, hyperparameters=own
                )
                if kind != "block-chrono":
                    layers = tuple(_remembering(cell, t, number) for number, cell in enumerate(subject.network.layers))
                    subject = dataclasses.replace(
                        subject, network=eqx.tree_at(lambda n: n.layers, subject.network, layers)
                    )
                found = propagation.measure(subject, norm=norm).frame
                rows.append(found.assign(cell=kind, norm=norm, memory=t))
    frame = pd.concat(rows, ignore_index=True)
    return _deep_table(frame), _deep_figure(frame)


def _deep_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Activity of the lowest and the highest layer, and squared gradients of the lowest, at every
    other memory; a dash where a cell has no such parameters.
    """
    gradients = frame[(frame["signal"] == "gradient") & (frame["layer"] == 0) & (frame["group"] != "all")]
    states = frame[frame["signal"] == "state"]
    top, rows = states["layer"].max(), []
    for (kind, norm, memory), activity in states.groupby(["cell", "norm", "memory"], sort=False):
        if memory not in memories()[::2]:
            continue
        by_layer = activity.set_index("layer")["mean_square"]
        own = gradients[
            (gradients["cell"] == kind) & (gradients["norm"] == norm) & (gradients["memory"] == memory)
        ].set_index("group")["mean_square"]
        shown = {group: f"{own[group]:.3g}" if group in own else "–" for group in gradients["group"].unique()}
        rows.append(
            {
                "cell": kind,
                "norm": norm,
                "memory t": f"{memory:g}",
                "E h², layer 0": f"{by_layer[0]:.3g}",
                f"E h², layer {top}": f"{by_layer[top]:.3g}",
                **{f"gradient², layer 0: {group}": value for group, value in shown.items()},
            }
        )
    return pd.DataFrame(rows)


def _remembering(cell, t: float, number: int):
    """A diagonal cell with moduli uniform in [1 - 1 / t, 1 - 1 / (2 t)], its phases as they are."""
    random = np.random.default_rng(number)
    modulus = random.uniform(1 - 1 / t, 1 - 1 / (2 * t), size=cell.modes)
    modulus = np.maximum(modulus, 1e-3)
    if isinstance(cell, ComplexDiagonal):
        phase = np.arctan2(np.asarray(cell.b), np.asarray(cell.a))
        new = {"a": modulus * np.cos(phase), "b": modulus * np.sin(phase)}
    else:
        new = {"w_nu": np.log(-np.log(modulus)), "w_gamma": 0.5 * np.log(1 - modulus**2)}
    return eqx.tree_at(
        lambda c: [getattr(c, name) for name in new], cell, [jnp.asarray(v, jnp.float32) for v in new.values()]
    )


def _deep_figure(frame: pd.DataFrame) -> Figure:
    kinds, norms = list(frame["cell"].unique()), list(frame["norm"].unique())
    figure = Figure((12.0, 9.0), layout="constrained")
    axes = figure.subplots(4, len(kinds), sharex=True, sharey="row")
    for column, kind in enumerate(kinds):
        for row, norm in enumerate(norms):
            part = frame[(frame["cell"] == kind) & (frame["norm"] == norm)]
            upper, lower = axes[2 * row, column], axes[2 * row + 1, column]
            states = part[part["signal"] == "state"]
            for layer, rows in states.groupby("layer"):
                upper.loglog(
                    rows["memory"],
                    rows["mean_square"],
                    color=COLOURS[layer],
                    linestyle=LINES[layer],
                    label=f"layer {layer}",
                )
            gradients = part[(part["signal"] == "gradient") & (part["layer"] == 0) & (part["group"] != "all")]
            for number, (group, rows) in enumerate(gradients.groupby("group", sort=False)):
                lower.loglog(
                    rows["memory"], rows["mean_square"], color=COLOURS[number + 4], linestyle=LINES[number], label=group
                )
            upper.set_title(f"{kind}, norm: {norm}")
            lower.legend(fontsize=8)
            if column == 0:
                upper.set_ylabel("E|h|²")
                lower.set_ylabel("gradient², layer 0")
    axes[0, 0].legend(fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("memory t (steps)")
    return figure


def gates(preset: Preset) -> Found:
    """A GRU with chrono initialisation: is it diagonal, for how long does it remember, and does the
    closed form say what it does?
    """
    data, rows = text_inputs(preset), []
    figure = Figure((11.0, 7.5), layout="constrained")
    axes = figure.subplots(3, 3, sharex=True, sharey=True)
    for i, longest in enumerate((1.0, 16.0, 256.0)):
        for j, scale in enumerate((0.0, 1.0, 3.0)):
            hyperparameters = {"longest": longest}
            for block in ("reset", "update", "candidate"):
                hyperparameters |= {f"{block}_init": "normal", f"{block}_scale": scale}
            subject = Subject.create(
                "chrono", units=preset.units, data=data, batch=preset.batch, hyperparameters=hyperparameters
            )
            found = jacobian.measure(subject)
            part = found.frame[found.frame["lag"].notna()]
            for number, name in enumerate(("diagonal", "off_diagonal")):
                shown = part[part["quantity"] == name]
                axes[i, j].loglog(
                    shown["lag"].astype(float),
                    shown["measured"],
                    color=COLOURS[3 * number],
                    linestyle=LINES[number],
                    label=name.replace("_", " "),
                )
            axes[i, j].set_title(f"τ up to {longest:g}, σ_h = {scale:g}")
            rows.append({"longest": longest, "sigma_h": scale, **found.summary})
    axes[0, 0].set_ylim(1e-8, 10)
    axes[0, 0].legend()
    for axis in axes[-1]:
        axis.set_xlabel("lag D")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean |entry|")
    return pd.DataFrame(rows), figure


MEASURES: dict[str, Callable[[Preset], Found]] = {
    "propagation": lambda preset: _double(closed_forms.propagation),
    "landscapes": lambda preset: _double(closed_forms.landscapes),
    "disc": lambda preset: _double(closed_forms.disc),
    "hessian": hessian,
    "hessian-draws": hessian_draws,
    "rates": rates,
    "letters": real_text("letters"),
    "words": real_text("words"),
    "tokens": real_text("tokens"),
    "deep": deep,
    "deep-tokens": lambda preset: deep(preset, "tokens"),
    "gates": gates,
}


def _double(closed_form: Callable[[], Found]) -> Found:
    with jax.enable_x64(True):
        return closed_form()


def main() -> None:
    """Compute what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=list(PRESETS))
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--only", choices=list(MEASURES), action="append", help="may be repeated; by default all of them"
    )
    given = parser.parse_args()
    for name in given.only or MEASURES:
        path = given.out / f"measure-{name}"
        if path.with_suffix(".csv").exists():
            print(f"{name}: there already")
            continue
        began = time.monotonic()
        with look():
            frame, figure = MEASURES[name](PRESETS[given.preset])
        save_figure(figure, path)
        write_atomically(path.with_suffix(".csv"), frame.to_csv(index=False))
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
