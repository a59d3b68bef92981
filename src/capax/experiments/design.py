"""The experiment file: TOML, validated, every error naming the key and the allowed values."""

import itertools
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from capax.architecture import Architecture
from capax.errors import CapaxError, closest
from capax.search.stopping import Rule
from capax.workers import Workers

Positive = Annotated[int, pydantic.Field(ge=1, lt=2**63)]
Depth = Annotated[int, pydantic.Field(ge=1, le=1000)]
Steps = tuple[Positive, Positive]
OVERRIDABLE = (
    *("cells", "depths", "budgets", "units", "trials", "steps", "batch", "searches", "reruns", "stopping"),
    *("tune", "hyperparameters"),
)
SWEEP = "sweep"
WORDS = ("question", "source", "smaller")
"""Keys that are words for readers: they change nothing of what is run."""
MOST_DOTS = 100
"""In a key of the file, such as task.text.path."""
LISTS = ("tasks", "cells", "depths", "budgets", "units")
"""Keys that may get longer, since a study's results do not depend on other studies; then a run goes
on with the new ones.
"""


class Experiment(pydantic.BaseModel):
    """A design: studies = tasks x cells x depths x sizes.

    Sizes are `budgets`, each the most parameters that a network may have, or `units`, hidden units
    per layer. `[task.NAME]` tables hold a task's options, and may set any of `cells`, `depths`,
    `budgets`, `units`, `trials`, `steps`, `batch`, `searches`, `reruns`, `stopping` for that task
    alone;
    `[task.NAME.sweep]` lists several values of an option, and the task is studied with each.

    `[hyperparameters]` fixes hyperparameters at a value, or gives a list to choose from or a range
    `{ low = ..., high = ... }`, for the cells and tasks that have them;
    `[task.NAME.hyperparameters]` does so for one task. `tune` names the hyperparameters that are
    tuned, all of them where it is empty; those that are neither named nor given have their
    defaults. The sampler "grid" tries all combinations of
    what is listed, at most `trials`; the others have their defaults.

    `question` and `source` head the report; `smaller` says what the file made smaller of its
    source, and is dropped where a key is set to something else.

    `searches` is how many times each search is made, from the beginning and with other seeds, so
    that results carry an interval that covers searches and seeds.

    `batch` is how many trials may be proposed that the tuner does not know the results of.
    `stopping` is the rule by which trials are not trained to their end (search/stopping.py);
    nothing is stopped unless the file says so, so that a reproduction is one. `checkpoint_every` K
    saves memory on long sequences: the gradient keeps the state of every K-th time step and
    computes the others again; by default whatever is fastest. `[network]` says which kind of
    network is made of the cells (capax.architecture); by default the kind that suits the task.
    `[workers]` says what each worker has (capax.workers.Workers).
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants")

    name: str
    question: str = ""
    source: str = ""
    smaller: str = ""
    tasks: Annotated[list[str], pydantic.Field(min_length=1)]
    cells: Annotated[list[str], pydantic.Field(min_length=1)]
    depths: Annotated[list[Depth], pydantic.Field(min_length=1)] = [1]
    budgets: list[Positive] = []
    units: list[Positive] = []
    trials: Positive = 64
    steps: Steps
    sampler: Literal["bandit", "random", "grid"] = "bandit"
    batch: Positive = 16
    searches: Positive = 1
    reruns: Annotated[int, pydantic.Field(ge=0)] = 5
    stopping: Rule = "none"
    checkpoint_every: Positive | None = None
    network: Architecture | None = None
    workers: Workers = Workers()
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] = 0
    tune: list[str] = []
    hyperparameters: dict[str, Any] = {}
    task: dict[str, dict[str, Any]] = {}

    @pydantic.field_validator("steps", mode="before")
    @classmethod
    def _one_or_two_steps(cls, value: Any) -> Any:
        """A single number is a fixed number of steps."""
        if isinstance(value, int) and not isinstance(value, bool):
            return (value, value)
        if isinstance(value, list) and len(value) == 1:
            return (value[0], value[0])
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        if self.steps[0] > self.steps[1]:
            raise ValueError(f"steps: the first number must not exceed the second, got {list(self.steps)}")
        if bool(self.budgets) == bool(self.units):
            both = "and not both" if self.units else "one of them is missing"
            raise ValueError(f"give either budgets (parameters) or units (hidden units per layer): {both}")
        if self.sampler == "grid" and self.steps[0] < self.steps[1]:
            raise ValueError(f"steps: a grid has one number of training steps, got {list(self.steps)}")
        if self.sampler == "grid" and self.tune:
            raise ValueError("tune: a grid tries what [hyperparameters] lists; leave `tune` out")
        if "training_steps" in self.hyperparameters:
            raise ValueError("hyperparameters.training_steps: set the key `steps` instead")
        for name in LISTS:
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: {values} names something twice")
        unknown = [name for name in self.task if name not in self.tasks]
        if unknown:
            raise ValueError(f"task.{unknown[0]}: this task is not among tasks = {self.tasks}")
        return self

    @property
    def sized(self) -> Literal["budget", "units"]:
        """By which column of the results the sizes of networks are told apart."""
        return "units" if self.units else "budget"

    def for_task(self, task: str) -> "Experiment":
        """The design as it holds for one task."""
        overrides = {key: value for key, value in self.task.get(task, {}).items() if key in OVERRIDABLE}
        sizes = {} if not {"budgets", "units"} & overrides.keys() else {"budgets": [], "units": []}
        if "hyperparameters" in overrides:
            own = overrides["hyperparameters"]
            if not isinstance(own, dict):
                raise CapaxError(f"experiment {self.name}: task.{task}.hyperparameters must be a table, not {own!r}.")
            overrides["hyperparameters"] = {**self.hyperparameters, **own}
        return made({**self.model_dump(mode="json", exclude={"task"}), "tasks": [task], **sizes, **overrides})

    def says_reruns(self, task: str) -> bool:
        """Whether the experiment itself says how many reruns a task has."""
        return "reruns" in self.model_fields_set or "reruns" in self.task.get(task, {})

    def options(self, task: str) -> dict[str, Any]:
        """The options of a task, but those that are swept."""
        given = self.task.get(task, {})
        return {key: value for key, value in given.items() if key not in (*OVERRIDABLE, SWEEP)}

    def variants(self, task: str) -> list[dict[str, Any]]:
        """What is swept of a task's options: one set of values for each variant; one empty set
        where nothing is.
        """
        swept = self.task.get(task, {}).get(SWEEP, {})
        if not isinstance(swept, dict):
            raise CapaxError(
                f"experiment {self.name}: task.{task}.{SWEEP} must be a table of options, each with a list of values."
            )
        for option, values in swept.items():
            if not isinstance(values, list) or not values:
                raise CapaxError(
                    f"experiment {self.name}: task.{task}.{SWEEP}.{option} must be a list of values, not {values!r}."
                )
            if option in self.options(task):
                raise CapaxError(
                    f"experiment {self.name}: task.{task} gives {option} a value and sweeps it, too; keep one."
                )
        return [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]


def named() -> list[str]:
    """The experiments that come with capax."""
    folder = resources.files("capax.experiments") / "designs"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name_or_file: str, settings: dict[str, Any] | None = None) -> Experiment:
    """An experiment by name or from a TOML file, with keys replaced by `settings`.

    A setting's key is one of the experiment's, or `TASK.key` for one task's table. Setting a key
    for all takes away what the tasks' tables say of it. Raises `CapaxError` for anything that does
    not fit.
    """
    table = _read(name_or_file)
    for key, value in (settings or {}).items():
        _set(table, key, value)
    if not set(settings or {}) <= set(WORDS):
        table.pop("smaller", None)  # it is about the settings of the file
    experiment = made(table)
    _check_name(experiment.name)
    return experiment


def _check_name(name: str) -> None:
    """Raise `CapaxError` for a name that is no folder's: runs are kept in runs/NAME by default."""
    if name in ("", ".", "..") or any(letter in "/\\" or not letter.isprintable() for letter in name):
        raise CapaxError(
            f"experiment name = {name!r}: a run is kept in a folder of this name; leave / and \\ out of it."
        )


def parse_setting(text: str) -> tuple[str, Any]:
    """`key=value` from the command line; the value is TOML, or a plain word, or a list with
    commas.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise CapaxError(f"--set {text!r} is not of the form key=value.")
    return key.strip(), _value(value.strip())


def task_and_option(key: str) -> tuple[str, str]:
    """`TASK.option` in its two parts; the task may be a user's own, `module.path:Task.option`."""
    module, colon, rest = key.rpartition(":")
    name, _, option = rest.partition(".")
    return module + colon + name, option


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return [_value(part.strip()) for part in text.split(",")] if "," in text else text


def _read(name_or_file: str) -> dict[str, Any]:
    if name_or_file in named():
        text = (resources.files("capax.experiments") / "designs" / f"{name_or_file}.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path.exists():
        known = named()
        raise CapaxError(
            f"unknown experiment '{name_or_file}'{closest(name_or_file, known)}; choose of {', '.join(known)}, or name a .toml file."
        )
    try:
        table = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CapaxError(f"experiment file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CapaxError(f"experiment file {path} is not a text file.") from None
    except (ValueError, RecursionError) as error:  # no TOML, a number of thousands of digits, nested without end
        raise CapaxError(f"experiment file {path} is not valid TOML: {error}.") from None
    table.setdefault("name", path.stem)
    return table


def _parsed(text: str) -> dict[str, Any]:
    """The table of a TOML text. A key of very many parts is refused here: Python's parser needs
    memory by the square of their number. Raises `ValueError` or `RecursionError`.
    """
    if any(part.count(".") > MOST_DOTS for part in re.split(r"[={},\[\]\n]", text)):
        raise ValueError(f"a key has more than {MOST_DOTS} parts")
    return tomllib.loads(text)


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    if key.startswith("hyperparameters."):
        table.setdefault("hyperparameters", {})[key.partition(".")[2]] = value
        return
    of_table, _, name = key.partition(".")
    if name and of_table in ("network", "workers"):
        table[of_table] = {**(table.get(of_table) or {}), name: value}
        return
    if "." in key:
        task, option = task_and_option(key.removeprefix("task."))
        of_task = table.setdefault("task", {}).setdefault(task, {})
        if option.startswith("hyperparameters."):
            of_task.setdefault("hyperparameters", {})[option.partition(".")[2]] = value
        else:
            of_task[option] = _listed(option, value)
        return
    table[key] = _listed(key, value)
    if key in ("budgets", "units"):  # one of the two
        table.pop("units" if key == "budgets" else "budgets", None)
    if key in OVERRIDABLE:
        for overrides in table.get("task", {}).values():
            for name in ("budgets", "units") if key in ("budgets", "units") else (key,):
                overrides.pop(name, None)
    if key == "tasks":  # tables of tasks that are no longer there
        table["task"] = {name: options for name, options in table.get("task", {}).items() if name in table["tasks"]}


def _listed(key: str, value: Any) -> Any:
    """A single word or number where a list is due."""
    return [value] if key in LISTS and not isinstance(value, list) else value


def made(table: dict[str, Any]) -> Experiment:
    """An experiment of what its file would say. Raises `CapaxError` for what does not fit."""
    try:
        return Experiment.model_validate(table)
    except pydantic.ValidationError as error:
        raise CapaxError(f"experiment {table.get('name', '?')}: {_one_line(error)}") from None


def _one_line(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "function-before")
    if first["type"] == "extra_forbidden":
        known = [*Experiment.model_fields]
        return f"unknown key '{key}'{closest(key, known)}; the keys are {', '.join(known)}."
    if first["type"] == "missing":
        return f"the key '{key}' is missing."
    if not key:
        return f"{first['msg'].removeprefix('Value error, ')}."
    return f"key '{key}' = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}."
