"""A model of English text, and what it writes: python examples/writing.py"""

from pathlib import Path

import capax
from capax.cli.display import choose
from capax.data.text import read
from capax.files import write_atomically

OUT = "runs/writing"


def main(out=OUT, characters=None, cells=("gru",), depth=2, trials=4, steps=6000, **settings):
    """`characters`: only the first so many; `settings`: of `capax.fit`."""
    text = read(None).characters  # Python's own help texts, each paragraph once: the default text
    data = Path(out).with_suffix(".txt")
    write_atomically(data, text[:characters])
    with choose(quiet=False) as shown:
        return capax.fit(
            data,
            job="language",
            out=out,
            cells=cells,
            depth=depth,
            trials=trials,
            steps=steps,
            display=shown,
            **settings,
        )


if __name__ == "__main__":
    fitted = main()
    print(fitted)
    print("\nIt writes:\n\nThe ", end="")
    for symbol in fitted.generate("The ", length=300, temperature=0.7, seed=0):
        print(symbol, end="", flush=True)
    print()
