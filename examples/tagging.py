"""The part of speech of each word of Portuguese news: python examples/tagging.py"""

from pathlib import Path

import packaged

import capax
from capax.cli.display import choose

OUT = "runs/tagging"


def main(out=OUT, sentences=None, cells=("gru",), steps=2000, **settings):
    """`sentences`: only the first so many; `settings`: of `capax.fit`."""
    # The package asks for one old version of pandas, which its data do not need: hence --no-deps.
    data = packaged.file("dante-corpora", "portinari/annotated.conllu", install="--no-deps dante-corpora")
    if sentences is not None:
        parts = data.read_text(encoding="utf-8").split("\n\n")[:sentences]
        data = Path(out).with_suffix(".conllu")
        data.write_text("\n\n".join(parts) + "\n\n", encoding="utf-8")
    with choose(quiet=False) as shown:
        return capax.fit(data, job="label", out=out, cells=cells, steps=steps, display=shown, **settings)


if __name__ == "__main__":
    print(main())
