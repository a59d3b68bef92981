"""Text as sequences of vectors: letters, words, or embedded tokens."""

import collections
import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float

from capax.errors import CapaxError, closest
from capax.tasks.text import ALPHABET, clean, read

WORDS = 255
"""The commonest words have a feature each; all others share one more."""

Series = Float[np.ndarray, "time features"]


def sequences(kind: str, path: Path | None, length: int) -> Float[np.ndarray, "sequences time features"]:
    """A text, by default Python's own help texts, cut into windows of `length` steps; every feature has mean 0 over the text, and all
    together a variance of 1.

    **Arguments:** `kind`: "letters", one-hot (a-z and space); "words", one-hot (the 255 commonest, and all others); "tokens", embedded
    in 256 numbers by the token model that the package `wordllama` ships (the extra `embeddings`).

    Raises `CapaxError` for an unknown kind, a file that is no text, one shorter than a window, or a missing package.
    """
    makers = {"letters": _letters, "words": _words, "tokens": _tokens}
    if kind not in makers:
        raise CapaxError(f"unknown kind of text '{kind}'{closest(kind, list(makers))}; choose of {', '.join(makers)}.")
    series = makers[kind](read(path))
    windows = len(series) // length
    if not windows:
        raise CapaxError(
            f"{len(series)} {kind} are no window of {length} steps; choose a shorter --length or another text."
        )
    centred = series - series.mean(axis=0)
    scale = centred.std()
    return (centred / (scale if scale > 0 else 1.0))[: windows * length].reshape(windows, length, -1)


def _one_hot(symbols: np.ndarray, size: int) -> Series:
    return np.eye(size, dtype=np.float32)[symbols]


def _letters(text: str) -> Series:
    return _one_hot(np.array([ALPHABET.index(letter) for letter in clean(text)], int), len(ALPHABET))


def _words(text: str) -> Series:
    words = clean(text).split()
    known = {word: number for number, (word, _) in enumerate(collections.Counter(words).most_common(WORDS))}
    return _one_hot(np.array([known.get(word, len(known)) for word in words], int), len(known) + 1)


def _tokens(text: str) -> Series:
    found = importlib.util.find_spec("wordllama")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("tokenizers") is None:
        raise CapaxError("embedded tokens need the extra: pip install 'capax[embeddings]'.")
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]

    # The files alone: the package's own code would look for others on the network.
    folder = Path(found.submodule_search_locations[0])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    return weights[np.array(tokenizer.encode(text, add_special_tokens=False).ids, int)].astype(np.float32)
