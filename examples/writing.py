"""A model of English text, and what it writes: python examples/writing.py"""

from pathlib import Path
from pydoc_data.topics import topics

import capax
from capax.cli.display import choose
from capax.files import write_atomically

OUT = "runs/writing"


def text():
    """Python's own help texts, one after the other: 500,000 characters on every machine."""
    return "\n".join(topics[name] for name in sorted(topics))


def main(out=OUT, characters=None, cells=("gru",), steps=1500, **settings):
    """`characters`: only the first so many; `settings`: of `capax.fit`."""
    data = Path(out).with_suffix(".txt")
    write_atomically(data, text()[:characters])
    with choose(quiet=False) as shown:
        return capax.fit(data, job="language", out=out, cells=cells, steps=steps, display=shown, **settings)


if __name__ == "__main__":
    fitted = main()
    print(fitted)
    print("\nIt writes:\n")
    for symbol in fitted.generate("The ", length=300, temperature=0.7, seed=0):
        print(symbol, end="", flush=True)
    print()
