"""What a trial costs the driver with each kind of store, and how long workers wait for it.

    python benchmarks/store.py --url postgresql+psycopg://USER:PASSWORD@HOST/DATABASE

The workers are threads that "train" for a while; the driver proposes by random search, keeps
results and curves, and decides, by the code of a run. "ask" and "tell" are what a worker waits for
a trial, and for its result to be kept, others before it included, and proposals of groups.
"driver" is the driver's own time a trial, all in all. "open" reads the whole study at the
beginning, "look" is what `capax status` reads.
"""

import argparse
import dataclasses
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import optuna

from capax.experiments.design import Experiment
from capax.experiments.plan import Plan, plan
from capax.experiments.study import StudyRun
from capax.search import url as urls
from capax.search.entries import record_to_json
from capax.search.ledger import TrialRecord
from capax.search.store import Store
from capax.training.trial import Result, Trial

CURVE = np.linspace(3.0, 2.0, 500).astype(np.float32)
EARLIER, LATER = 2.0, 3.0
"""Scores of the trials that are there already, and of those measured: no model is written."""


@dataclasses.dataclass
class Times:
    ask: list[float]
    tell: list[float]
    driver: float = 0.0
    opened: float = 0.0
    looked: float = 0.0


class Driver:
    """Hands out trials and takes results, one caller at a time."""

    def __init__(self, planned: Plan, store: Store):
        study = planned.studies[0]
        self._study = StudyRun(study, store, planned.of(study.label))
        self._lock, self._left = threading.Lock(), []
        self.seconds = 0.0

    def ask(self) -> tuple[Trial, float]:
        """A trial, and how many seconds it took; not those in which the rule of groups has none."""
        while True:
            asked = time.perf_counter()
            with self._lock:
                if self._left:
                    return self._left.pop(0), time.perf_counter() - asked
            time.sleep(0.05)

    def propose(self) -> None:
        """As many as the rule of groups allows; as in a run, before a worker asks for them."""
        with self._lock:
            began = time.perf_counter()
            self._left += self._study.next_trials(may_propose=True)
            self.seconds += time.perf_counter() - began

    def tell(self, trial: Trial, result: Result) -> None:
        """Keep a result."""
        with self._lock:
            began = time.perf_counter()
            self._study.finish(trial, result)
            self.seconds += time.perf_counter() - began


def planned_of(trials: int) -> Plan:
    table = {"name": "store", "tasks": ["text"], "cells": ["rnn"], "budgets": [400], "trials": trials}
    table |= {"batch": 256, "sampler": "random", "stopping": "none", "reruns": 0, "steps": [5, 60]}
    return plan(Experiment.model_validate(table, strict=False))


def fill(store: Store, planned: Plan, trials: int) -> None:
    """The study's first trials, a record each."""
    study = planned.studies[0]
    written = optuna.load_study(study_name=study.name, storage=store.storage)
    scores = {"score": EARLIER, "loss": EARLIER}
    record = record_to_json(TrialRecord(True, 60, 12.5, 1, scores, scores, kernel="fused", processor="x"))
    sampler = optuna.samplers.RandomSampler(seed=0)
    for number in range(trials):
        drawn = optuna.create_study(sampler=sampler).ask(dict(study.space)).params
        written.add_trial(
            optuna.trial.create_trial(
                value=EARLIER,
                params=drawn,
                distributions=dict(study.space),
                user_attrs={"proposed_by": "random", "result": record},
            )
        )
        if number % 500 == 0:
            store.flush()
    store.flush()


def measure(url: str | None, workers: int, trials: int, timed: int, seconds: float) -> Times:
    planned = planned_of(trials)
    with tempfile.TemporaryDirectory() as name:
        directory, run = Path(name) / "run", f"{random.SystemRandom().getrandbits(128):032x}"
        frozen = {"experiment": {"name": "store"}, "created": "2026"}
        frozen |= {"store": {"url": urls.shown(urls.parse(url)), "run": run}} if url else {}
        store = Store.create(directory, lambda _: frozen, url=url)
        Driver(planned, store)
        fill(store, planned, trials - timed)
        store.close()
        began = time.perf_counter()
        store = Store.create(directory, lambda _: frozen, url=url)
        driver = Driver(planned, store)
        times = Times([], [], opened=time.perf_counter() - began)
        driver.propose()
        work(driver, times, workers, timed, seconds)
        store.close()
        times.driver = driver.seconds / timed
        began = time.perf_counter()
        assert len(Store.read(directory, url).ledger(planned.studies[0].name).tuned) >= trials - timed
        times.looked = time.perf_counter() - began
        return times


def work(driver: Driver, times: Times, workers: int, timed: int, seconds: float) -> None:
    left = iter(range(timed))
    scores = {"score": LATER, "loss": LATER}

    def one() -> None:
        time.sleep(random.uniform(0, seconds))
        for _ in left:
            trial, waited = driver.ask()
            times.ask.append(waited)
            time.sleep(seconds * random.uniform(0.5, 1.5))
            result = Result(None, trial.steps, seconds, scores, scores, CURVE, 10, np.zeros(400, np.float32))
            began = time.perf_counter()
            driver.tell(trial, result)
            times.tell.append(time.perf_counter() - began)
            driver.propose()

    threads = [threading.Thread(target=one) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def spread(values: list[float]) -> str:
    return f"{1000 * statistics.median(values):,.0f} ({1000 * statistics.quantiles(values, n=20)[-1]:,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trials", type=int, default=5_000, help="of the study, at the end")
    parser.add_argument("--timed", type=int, default=320, help="the last of them, which are measured")
    parser.add_argument("--seconds", type=float, default=8.0, help="that a worker trains, on average")
    parser.add_argument("--url", action="append", default=[], help="of further databases; may be repeated")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| store | ask, ms | tell, ms | driver a trial, ms | open, s | look, s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        for url in (None, f"sqlite:///{directory}/trials.db", *arguments.url):
            kind = "journal" if url is None else urls.parse(url).get_backend_name()
            found = measure(url, arguments.workers, arguments.trials, arguments.timed, arguments.seconds)
            row = [spread(found.ask), spread(found.tell), f"{1000 * found.driver:,.0f}"]
            print(f"| {kind} | {' | '.join(row)} | {found.opened:.1f} | {found.looked:.1f} |", flush=True)


if __name__ == "__main__":
    main()
