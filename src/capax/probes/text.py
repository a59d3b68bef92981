"""Text as sequences of vectors: letters, words, or embedded tokens."""

import collections
import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from capax.errors import CapaxError, closest
from capax.probes.data import check_length
from capax.tasks.text import ALPHABET, clean, read

WORDS = 255
"""The commonest words have a feature each; all others share one more."""

MOST_WINDOWS = 2048
"""Of a long text so many are cut, evenly spaced."""

Symbols = tuple[Int[np.ndarray, " steps"], Float[np.ndarray, "kinds features"]]
"""Which kind of symbol stands at each step, and the vector of each kind."""


def sequences(kind: str, path: Path | None, length: int) -> Float[np.ndarray, "sequences time features"]:
    """A text, by default Python's own help texts, cut into windows of `length` steps (of a long one 2,048, evenly spaced); every
    feature has mean 0 over the text, and all together a variance of 1.

    **Arguments:** `kind`: "letters", one-hot (a-z and space); "words", one-hot (the 255 commonest, and all others); "tokens", embedded
    in 256 numbers by the token model that the package `wordllama` ships (the extra `embeddings`).

    Raises `CapaxError` for an unknown kind, a file that is no text, one shorter than a window, or a missing package.
    """
    makers = {"letters": _letters, "words": _words, "tokens": _tokens}
    if kind not in makers:
        raise CapaxError(f"unknown kind of text '{kind}'{closest(kind, list(makers))}; choose of {', '.join(makers)}.")
    check_length(length)
    symbols, vectors = makers[kind](read(path))
    windows = len(symbols) // length
    if not windows:
        raise CapaxError(
            f"{len(symbols)} {kind} are no window of {length} steps; choose a shorter --length or another text."
        )
    shares = np.bincount(symbols, minlength=len(vectors)) / len(symbols)
    centred = vectors - shares @ vectors
    deviation = np.sqrt(np.mean(shares @ centred**2))
    scaled = (centred / (deviation or 1.0)).astype(np.float32)
    chosen = np.unique(np.linspace(0, windows - 1, min(windows, MOST_WINDOWS)).astype(int))
    return scaled[symbols[: windows * length].reshape(windows, length)[chosen]]


def _letters(text: str) -> Symbols:
    codes = np.frombuffer(clean(text).encode("ascii"), np.uint8).astype(int)
    return np.where(codes == ord(" "), 0, codes - ord("a") + 1), np.eye(len(ALPHABET))


def _words(text: str) -> Symbols:
    words = clean(text).split()
    known = {word: number for number, (word, _) in enumerate(collections.Counter(words).most_common(WORDS))}
    return np.array([known.get(word, len(known)) for word in words], int), np.eye(len(known) + 1)


def _tokens(text: str) -> Symbols:
    found = importlib.util.find_spec("wordllama")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("tokenizers") is None:
        raise CapaxError("embedded tokens need the extra: pip install 'capax[embeddings]'.")
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]

    # The files alone: the package's own code would look for others on the network.
    folder = Path(found.submodule_search_locations[0])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    vectors = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, int), vectors.astype(np.float64)
