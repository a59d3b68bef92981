"""Which of nine men says the vowels "a e"? python examples/speakers.py"""

import packaged

import capax
from capax.cli.display import choose

OUT = "runs/speakers"
FOLDER = "data/JapaneseVowels"


def main(out=OUT, steps=600, **settings):
    """`settings`: of `capax.fit`."""
    # The package asks for much that its data do not need: hence --no-deps.
    training, evaluation = (
        packaged.file("aeon", f"{FOLDER}/JapaneseVowels_{part}.ts", install="--no-deps aeon")
        for part in ("TRAIN", "TEST")
    )
    with choose(quiet=False) as shown:
        return capax.fit(
            training,
            job="classify",
            evaluation_file=str(evaluation),  # the archive's own test part; validation is cut from training
            out=out,
            steps=steps,
            display=shown,
            **settings,
        )


if __name__ == "__main__":
    print(main())
