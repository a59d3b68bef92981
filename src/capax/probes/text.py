"""Text as sequences of vectors: letters, characters, words, or embedded tokens."""

import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from capax.data import text8
from capax.data.text import read
from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError, closest
from capax.probes.data import Driving, check_length

COMMONEST = 255
"""So many words or characters have a feature each; all others share one more."""

MOST_WINDOWS = 2048
"""Of a long text so many are cut, evenly spaced."""

CLEANED = ("letters", "words")
"""Kinds that are of the text as text8 would clean it."""

Symbols = tuple[Int[np.ndarray, " steps"], Float[np.ndarray, "kinds features"]]
"""Which kind of symbol stands at each step, and the vector of each kind."""


def sequences(kind: str, path: Path | None, length: int, encoding: str | None = None) -> Driving:
    """A text, by default Python's own help texts, cut into windows of `length` steps (of a long one
    2,048, evenly spaced); every feature has mean 0 over the text, and all together a variance of 1.

    **Arguments:** `kind`: "letters", one-hot (a-z and space, after cleaning as text8 is);
    "characters", one-hot, as they are (the 255 commonest, and all others); "words", one-hot (of the
    cleaned text, likewise); "tokens", embedded in 256 numbers by the token model that the package
    `wordllama` ships (the extra `embeddings`). `encoding` of the file, by Python's name.

    Raises `CapaxError` for an unknown kind, a file that is no text, one shorter than a window, or a
    missing package.
    """
    makers = {"letters": _letters, "characters": _characters, "words": _words, "tokens": _tokens}
    if kind not in makers:
        raise CapaxError(f"unknown kind of text '{kind}'{closest(kind, list(makers))}; choose of {', '.join(makers)}.")
    check_length(length)
    text = read(path, encoding)
    symbols, vectors = makers[kind](text.characters)
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
    values = scaled[symbols[: windows * length].reshape(windows, length)[chosen]]
    return Driving(values, (*text.notes, *_said(kind, text.characters)))


def _said(kind: str, text: str) -> tuple[str, ...]:
    """Which share of the text's letters cleaning left out, where there is any."""
    dropped = text8.share_dropped(text) if kind in CLEANED else 0.0
    return (
        (f"{dropped:.2g} of the text's letters are not a to z: dropped (--text characters keeps them)",)
        if dropped
        else ()
    )


def _letters(text: str) -> Symbols:
    return text8.symbols(text8.clean(text)).astype(int), np.eye(len(text8.ALPHABET))


def _characters(text: str) -> Symbols:
    vocabulary = Vocabulary.fit(text, COMMONEST)
    return vocabulary.encode(text), np.eye(vocabulary.size)


def _words(text: str) -> Symbols:
    words = text8.clean(text).split()
    vocabulary = Vocabulary.fit(words, COMMONEST)
    return vocabulary.encode(words), np.eye(vocabulary.size)


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
