"""The highest temperature of the next 7 days in Seattle: python examples/seattle_weather.py"""

import packaged
import pandas as pd

import capax
from capax.cli.display import choose

OUT = "runs/seattle_weather"


def main(out=OUT, days=None, trials=8, **settings):
    """`days`: only the first so many; `settings`: of `capax.fit`."""
    data = packaged.file("vega-datasets", "seattle-weather.csv")  # 1,461 days
    if days is not None:
        data = pd.read_csv(data).head(days)
    with choose(quiet=False) as shown:
        return capax.fit(
            data,
            job="forecast",
            target="temp_max",
            time="date",
            horizon=7,
            out=out,
            trials=trials,
            display=shown,
            **settings,
        )


if __name__ == "__main__":
    print(main())
