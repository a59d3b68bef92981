"""Language models of a user's own text: how networks and n-gram models predict the evaluation
section, what a model says of new texts, and texts of its own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from capax.baselines import markov, ngram
from capax.data import text
from capax.errors import CapaxError
from capax.fitting.contract import ANSWERS, Fitting, Predictor, Score
from capax.jobs.language import Language
from capax.networks.assembling import AnyNetwork
from capax.networks.network import Network
from capax.networks.parts import Assembled
from capax.networks.sampling import Sampling, generate
from capax.scoring import Estimate
from capax.scoring.resampling import block_length, estimate
from capax.tasks.language import LanguageModel
from capax.tasks.task import Split
from capax.training import responding

BITS, PERPLEXITY = Score("bits per character", True), Score("perplexity per symbol", True)
ORDERS = {"characters": range(1, 7), "words": range(0, 4)}
"""Symbols before the next one that n-gram models see; the best number is chosen on the validation
section."""
MARKOV = {"characters": range(1, 6), "words": range(0, 3)}
"""The same, of Markov models, which are named by it."""
LENGTH = 300
"""Symbols that are generated where nothing is said."""
PORTION = 256
"""Symbols of a new text that are read at once."""
MOST_EXAMPLES = 400
LN2 = float(np.log(2))

Nats = Float[np.ndarray, "windows scored"]


class LanguageFitting(Fitting[LanguageModel, Nats]):
    """Answers are -log p of the scored symbols of the evaluation section, in nats, a row a window.
    Networks see of a window what stands before a symbol in it; n-gram models all that stands before
    it in the text. Intervals draw stretches of neighbouring windows.
    """

    columns: ClassVar[tuple[Score, ...]] = (BITS, PERPLEXITY)
    resampled: ClassVar[str] = "stretches of text"

    def __init__(self, task: LanguageModel):
        super().__init__(task)
        part = task.prepared.parts["evaluation"]
        self._places = _scored(task, "evaluation")
        self._characters = part.characters[self._places].sum(axis=1)
        self._spelling = part.spelling[self._places].sum(axis=1, dtype=np.float64)

    def answers(self, network: Assembled) -> Nats:
        task, found = self.task, []
        data = task.data(0)

        @eqx.filter_jit
        def batch(network: AnyNetwork, data: Any, index: jax.Array) -> jax.Array:
            windows = task.batch_at(data, "evaluation", jax.random.key(0), index, {})
            logs = jax.nn.log_softmax(responding.outputs(network, windows, task.first), axis=0)
            return -jnp.take_along_axis(logs, windows.targets[None], axis=0)[0].T

        for index in range(int(task.batches("evaluation", {}))):
            found.append(np.asarray(batch(network, data, jnp.asarray(index))))  # pyright: ignore[reportArgumentType]
        return np.concatenate(found)[: len(self._places)].astype(np.float64)

    def baselines(self) -> Iterator[tuple[str, Nats]]:
        kind = self.task.symbols
        orders = {order: self._markov(order) for order in MARKOV[kind]}
        order = min(orders, key=lambda order: orders[order][0])
        yield f"order-{order} Markov", orders[order][1]
        models = {order: self._kneser_ney(order) for order in ORDERS[kind]}
        order = min(models, key=lambda order: models[order][0])
        yield f"Kneser-Ney {order + 1}-gram", models[order][1]

    def _markov(self, order: int) -> tuple[float, Nats]:
        """Of a Markov model: nats of a symbol on the validation section, and its answers."""
        train, validation, evaluation = (self._symbols(name) for name in ("train", "validation", "evaluation"))
        with_context = np.concatenate([validation[len(validation) - order :], evaluation])
        p = markov.probabilities(train, validation, with_context, self.task.outputs, order)
        return float(-np.log(p["validation"]).mean()), -np.log(p["evaluation"])[self._places]

    def _kneser_ney(self, order: int) -> tuple[float, Nats]:
        train, validation, evaluation = (self._symbols(name) for name in ("train", "validation", "evaluation"))
        model = ngram.fit(train, self.task.outputs, order + 1)
        before = np.concatenate([train[len(train) - order :], validation])
        context = np.concatenate([validation[len(validation) - order :], evaluation])
        return float(-model.logs_of(before, order).mean()), -model.logs_of(context, order)[self._places]

    def _symbols(self, name: Split) -> Int[np.ndarray, " symbols"]:
        return self.task.prepared.parts[name].symbols.astype(np.int64)

    def scores(self, answers: Nats) -> dict[str, Estimate]:
        bits = self._bits(answers)
        return {
            BITS.name: self._estimated(bits, self._characters),
            PERPLEXITY.name: _exp(self._estimated(answers.sum(axis=1), np.full(len(answers), answers.shape[1]))),
        }

    def difference(self, one: Nats, other: Nats) -> Estimate:
        return self._estimated(self._bits(one) - self._bits(other), self._characters)

    def _bits(self, answers: Nats) -> Float[np.ndarray, " windows"]:
        """Bits of each window: those of its symbols, and of the spelling of unknown ones."""
        return (answers.sum(axis=1) + self._spelling) / LN2

    def _estimated(self, totals: Float[np.ndarray, " windows"], sizes: Int[np.ndarray, " windows"]) -> Estimate:
        return estimate(
            lambda chosen: float(totals[chosen].sum() / sizes[chosen].sum()),
            len(totals),
            block=block_length(totals / sizes),
        )

    def examples(self, answers: Nats) -> pd.DataFrame:
        """The first scored symbols of the evaluation section: "symbol", and "bits", how much of a
        surprise it was."""
        part, preparation = self.task.prepared.parts["evaluation"], self.task.preparation
        places = self._places.ravel()[:MOST_EXAMPLES]
        return pd.DataFrame(
            {
                "symbol": preparation.vocabulary.decode(part.symbols[places]),
                "bits": answers.ravel()[:MOST_EXAMPLES] / LN2,
            }
        )


def _scored(task: LanguageModel, split: Split) -> Int[np.ndarray, "windows scored"]:
    """The places of scored symbols in their section."""
    return task.windows(split)[:, None] + np.arange(1 + task.warm_up, task.window + 1)[None]


def _exp(found: Estimate) -> Estimate:
    return Estimate(*(float(np.exp(value)) for value in (found.value, found.low, found.high)))


class LanguagePredictor(Predictor):
    """What a model says of new texts, and texts of its own."""

    preparation: Language

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        data: Path | str | pd.DataFrame | Sequence[Any],
        *,
        each: str = "line",
        encoding: str | None = None,
    ) -> pd.DataFrame:
        """How much of a surprise a text is.

        **Arguments:** `data`: a text file, read from its first line to its last; a list of texts,
        or a DataFrame with one column of them, each read by itself. `each`: "line" or "symbol",
        what gets a row; a line of a list is one of its texts.

        **Returns** for each line: "line" (from 1; of a DataFrame its own columns), "text",
        "characters", "bits", and "bits per character"; for each symbol "line", "symbol", and
        "bits". Bits are -log2 p. A symbol that the vocabulary does not have costs what unknown ones
        do, without its spelling, and counts in "unknown".

        Raises `CapaxError` for data without texts, and for layers that have no steps.
        """
        if each not in ("line", "symbol"):
            raise CapaxError(f"each must be line or symbol, not '{each}'.")
        frame, texts, apart = _texts(data, self.usual("encoding", encoding))
        parts = [list(self.preparation.split(one)) for one in texts]
        numbers = [self.preparation.vocabulary.encode(part) for part in parts]
        if apart:
            bits = [self.bits(one) for one in numbers]
        else:
            ends = np.cumsum([len(one) for one in numbers])[:-1]
            bits = np.split(self.bits(np.concatenate(numbers)), ends) if numbers else []
        if each == "symbol":
            line = np.repeat(np.arange(1, len(texts) + 1), [len(part) for part in parts])
            symbols = [symbol for part in parts for symbol in part]
            result = pd.DataFrame({"line": line, "symbol": symbols, "bits": np.concatenate([np.empty(0), *bits])})
            result.attrs[ANSWERS] = ["bits"]
            return result
        result = frame.copy()
        result["characters"] = [len(one) for one in texts]
        result["bits"] = [float(one.sum()) for one in bits]
        result["bits per character"] = result["bits"] / result["characters"].where(result["characters"] > 0)
        result["unknown"] = [int((one == self.preparation.vocabulary.unknown).sum()) for one in numbers]
        result.attrs[ANSWERS] = ["characters", "bits", "bits per character", "unknown"]
        return result

    def bits(self, symbols: Int[np.ndarray, " symbols"]) -> Float[np.ndarray, " symbols"]:
        """-log2 p of each symbol of a text, of any length, with constant memory."""
        network, found = self._network, []
        states, before = network.initial(1), self.preparation.begin
        for begin in range(0, len(symbols), PORTION):
            part = symbols[begin : begin + PORTION]
            portion = np.zeros(PORTION, np.int32)
            portion[: len(part)] = part
            given = np.concatenate([[before], portion[:-1]]).astype(np.int32)
            states, nats = _surprises(network, states, jnp.asarray(given), jnp.asarray(portion), jnp.asarray(len(part)))
            found.append(np.asarray(nats, np.float64)[: len(part)] / LN2)
            before = int(part[-1])
        return np.concatenate(found) if found else np.empty(0)

    def generate(
        self,
        prompt: str = "",
        *,
        length: int | None = LENGTH,
        temperature: float | int = 1.0,
        top_k: int | None = None,
        top_p: float | int | None = None,
        seed: int = 0,
    ) -> Iterator[str]:
        """Symbols that go on from the prompt, as they come; put together, they are a text.

        **Arguments:** `length`, how many symbols (None: without end); `temperature`, 0 for the
        likeliest one each time; `top_k`, of the likeliest so many; `top_p`, of the likeliest that
        together have this probability; `seed`. Unknown symbols are never drawn.

        Raises `CapaxError` for what is out of range, and for layers that have no steps.
        """
        preparation = self.preparation
        # A word has the space before it: one at a prompt's end belongs to the word that comes.
        spaced = preparation.kind == "words" and prompt.endswith(" ")
        given = preparation.encode(prompt[:-1] if spaced else prompt)
        numbers = generate(
            self._network,
            given if len(given) else np.array([preparation.begin]),
            length=length,
            sampling=Sampling.of(temperature, top_k, top_p),
            seed=seed,
            never=[preparation.vocabulary.unknown],
        )
        return _spoken(numbers, preparation.vocabulary.symbols, spaced)

    @property
    def _network(self) -> Network:
        if not isinstance(self.network, Network):
            raise CapaxError(
                "a language model is a network of layers one upon the other, which reads from left to right."
            )
        return self.network


def _spoken(numbers: Iterator[int], symbols: Sequence[str], spaced: bool) -> Iterator[str]:
    for number in numbers:
        symbol = symbols[number]
        yield symbol.removeprefix(" ") if spaced else symbol
        spaced = False


@eqx.filter_jit
def _surprises(
    network: Network, states: Any, given: jax.Array, symbols: jax.Array, length: jax.Array
) -> tuple[Any, jax.Array]:
    outputs, states = network(given[None], lengths=length[None], states=states, return_states=True)
    logs = jax.nn.log_softmax(outputs[0])
    return states, -jnp.take_along_axis(logs, symbols[:, None], axis=1)[:, 0]


def _texts(data: Any, encoding: str | None) -> tuple[pd.DataFrame, list[str], bool]:
    """What rows are made beside, the texts, and whether each is read by itself."""
    if isinstance(data, str | Path):
        lines = text.read(Path(data), encoding).characters.splitlines(keepends=True)
        if not lines:
            raise CapaxError(f"{data} is empty.")
        shown = [line.rstrip("\r\n") for line in lines]
        return pd.DataFrame({"line": np.arange(1, len(lines) + 1), "text": shown}), lines, False
    if isinstance(data, pd.DataFrame):
        words = [name for name in data if not pd.api.types.is_numeric_dtype(data[name])]
        if len(words) != 1:
            raise CapaxError(f"a table of texts has one column of them, not {len(words)}.")
        texts = [
            "" if missing else str(one) for one, missing in zip(data[words[0]], data[words[0]].isna(), strict=True)
        ]
        return data.reset_index(drop=True), texts, True
    texts = list(data)
    wrong = next((one for one in texts if not isinstance(one, str)), None)
    if wrong is not None:
        raise CapaxError(f"texts are due, not {type(wrong).__name__}: {wrong!r}.")
    return pd.DataFrame({"line": np.arange(1, len(texts) + 1), "text": texts}), texts, True
