"""Language models end to end: contenders, what a model says of new texts, texts of its own."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from capax import jobs, tasks
from capax.errors import CapaxError
from capax.fitting.contract import ANSWERS
from capax.fitting.language import LanguageFitting, LanguagePredictor
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network


def story(words=4000, seed=0):
    random = np.random.default_rng(seed)
    names = ["".join(random.choice(list("abcdefgh"), random.integers(2, 6))) for _ in range(60)]
    return "".join(names[min(59, random.zipf(1.4))] + ("\n" if n % 9 == 8 else " ") for n in range(words))


@pytest.fixture(scope="module", params=["characters", "words"])
def task(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text(story(), encoding="utf-8", newline="")
    return tasks.get("language", path=str(path), symbols=request.param, window=12, warm_up=3, batch_size=16)


@pytest.fixture(scope="module")
def network(task):
    found = Network.create("gru", inputs=task.inputs, outputs=task.outputs, units=6, key=jax.random.key(0))
    return jax.tree.map(lambda leaf: 3 * leaf, found)


@pytest.fixture(scope="module")
def predictor(task, network):
    return LanguagePredictor(network, jobs.from_json(json.loads(json.dumps(task.preprocessing()))))


def test_a_network_has_the_score_of_its_task(task, network):
    fitting, sums = LanguageFitting(task), {}
    for index in range(int(task.batches("evaluation", {}))):
        batch = task.batch_at(task.data(0), "evaluation", jax.random.key(0), jnp.asarray(index), {})
        for name, value in task.measure(network.run(batch.inputs, task.first), batch).items():
            sums[name] = sums.get(name, 0.0) + float(value)
    found = fitting.scores(fitting.answers(network))
    assert found["bits per character"].value == pytest.approx(task.scores(sums)["score"], rel=1e-5)
    assert found["perplexity per symbol"].value == pytest.approx(task.scores(sums)["perplexity"], rel=1e-4)


def test_baselines_are_named_by_their_order_and_better_than_chance(task, network):
    fitting = LanguageFitting(task)
    found = dict(fitting.baselines())
    (markov, kneser_ney) = found
    assert markov.startswith("order-") and kneser_ney.startswith("Kneser-Ney ")
    bits = {name: fitting.scores(answers)["bits per character"] for name, answers in found.items()}
    assert all(
        0.5 < each.value < 0.8 * task.facts.chance and each.low < each.value < each.high for each in bits.values()
    )
    answers = fitting.answers(network)
    behind = fitting.difference(answers, found[markov])
    assert behind.value == pytest.approx(fitting.scores(answers)["bits per character"].value - bits[markov].value)
    assert behind.low > 0
    table = fitting.examples(answers)
    assert list(table) == ["symbol", "bits"] and (table["bits"] > 0).all()


def test_the_markov_baseline_is_that_of_the_text_task(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(story(), encoding="utf-8")
    own = tasks.get("language", path=str(path), window=12, warm_up=0)
    other = tasks.get("text", path=str(path), window=12, warm_up=0, alphabet="unicode")
    nats = LanguageFitting(own)._markov(2)[1]
    assert nats.mean() / math.log(2) == pytest.approx(other.markov(2), rel=0.01)  # it does without two symbols


def test_surprises_are_those_of_the_whole_text_whatever_its_portions(predictor, network, tmp_path):
    path = tmp_path / "new.txt"
    path.write_text(story(700, seed=1), encoding="utf-8", newline="")
    symbols = predictor.preparation.encode(path.read_text(encoding="utf-8"))
    given = np.concatenate([[predictor.preparation.begin], symbols[:-1]])
    logs = jax.nn.log_softmax(network(jnp.asarray(given)))[np.arange(len(symbols)), symbols]
    found = predictor.predict(path, each="symbol")
    assert "".join(found["symbol"]) == path.read_text(encoding="utf-8")
    np.testing.assert_allclose(found["bits"], -np.asarray(logs) / math.log(2), rtol=1e-4, atol=1e-5)
    lines = predictor.predict(path)
    assert lines["line"].tolist() == list(range(1, len(lines) + 1)) and lines["characters"].sum() == len(
        "".join(found["symbol"])
    )
    np.testing.assert_allclose(lines["bits"], found.groupby("line")["bits"].sum().to_numpy(), rtol=1e-9)


def test_texts_of_a_list_are_read_each_by_itself(predictor):
    texts = ["ab cd", "", "ab cd", "👍 e\u0301"]
    found = predictor.predict(texts)
    assert found["bits"][0] == found["bits"][2] > 0 and found["bits"][1] == 0
    assert np.isnan(found["bits per character"][1]) and found["unknown"][3] > 0
    frame = pd.DataFrame({"id": [4, 5], "note": ["ab cd", None]})
    again = predictor.predict(frame)
    assert again.attrs[ANSWERS] == ["characters", "bits", "bits per character", "unknown"]
    assert predictor.predict(texts, each="symbol").attrs[ANSWERS] == ["bits"]
    assert again["id"].tolist() == [4, 5] and again["bits"].tolist() == [found["bits"][0], 0]


def test_a_text_of_its_own_goes_on_from_the_prompt(predictor, task):
    prompt = story(5, seed=2)
    found = list(predictor.generate(prompt, length=80, seed=3))
    assert found == list(predictor.generate(prompt, length=80, seed=3))
    assert found != list(predictor.generate(prompt, length=80, seed=4))
    assert len(found) == 80 and set(found) <= set(task.preparation.vocabulary.symbols)
    assert len(list(predictor.generate(length=5))) == 5 and len(list(predictor.generate("👍👍", length=5))) == 5
    assert len(list(itertools.islice(predictor.generate(length=None), 400))) == 400
    likeliest = list(predictor.generate(prompt, length=1, temperature=0))
    bits = [
        predictor.bits(predictor.preparation.encode(prompt + symbol))[-1]
        for symbol in task.preparation.vocabulary.symbols[:8]
    ]
    assert (
        likeliest
        == list(predictor.generate(prompt, length=1, top_k=1))
        == list(predictor.generate(prompt, length=1, top_p=1e-6))
    )
    assert min(bits) >= -1e-6


def test_a_space_at_the_end_of_a_prompt_belongs_to_the_word_that_comes(predictor):
    if predictor.preparation.kind == "words":
        one, other = (next(predictor.generate(prompt, seed=1)) for prompt in ("ab", "ab "))
        assert one.removeprefix(" ") == other


@pytest.mark.parametrize(
    ("data", "options", "line"),
    [
        ([1], {}, "texts are due, not int"),
        (["a"], {"each": "word"}, "each must be line or symbol"),
        ("nowhere.txt", {}, "cannot be read"),
        (pd.DataFrame({"a": [1.0]}), {}, "one column of them, not 0"),
    ],
)
def test_what_holds_no_text_is_one_line(predictor, data, options, line):
    with pytest.raises(CapaxError, match=line):
        predictor.predict(data, **options)


def test_a_network_that_reads_backwards_is_no_language_model(task):
    other = Bidirectional.create("gru", inputs=task.inputs, outputs=task.outputs, units=3, key=jax.random.key(0))
    with pytest.raises(CapaxError, match="from left to right"):
        LanguagePredictor(other, task.preparation).predict(["ab"])
