"""Sequence to sequence end to end: contenders, their scores, and answers to new sources."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from capax import jobs, tasks
from capax.errors import CapaxError
from capax.fitting.contract import ANSWERS
from capax.fitting.translate import Answers, TranslateFitting, TranslatePredictor
from capax.networks.beam import attended
from capax.networks.bidirectional import Bidirectional
from capax.networks.encoder_decoder import EncoderDecoder
from capax.networks.network import Network
from capax.scoring import ctc
from capax.training import responding


def sources(count=400):
    random = np.random.default_rng(0)
    found = ["".join(random.choice(list("abcd"), random.integers(2, 7))) for _ in range(count)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Letters become capitals; words that begin with "a" may have a "Z" behind, too."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    rows = [f"{word}\t{' '.join(word.upper())}" for word in sources()]
    rows += [f"{word}\t{' '.join(word.upper())} Z" for word in sources() if word[0] == "a"]
    path.write_text("word\tsound\n" + "\n".join(rows), encoding="utf-8")
    return tasks.get("translate", path=str(path))


@functools.cache
def network(inputs, outputs, attention="dot"):
    return EncoderDecoder.create(
        "gru", inputs=inputs, outputs=outputs, units=8, attention=attention, key=jax.random.key(0)
    )


@pytest.fixture(scope="module")
def fitting(task):
    return TranslateFitting(task)


@pytest.fixture(scope="module")
def predictor(task):
    preparation = jobs.from_json(json.loads(json.dumps(task.preprocessing())))
    return TranslatePredictor(network(task.inputs, task.outputs), preparation)


def test_the_joint_ngram_knows_a_rule_of_letters(fitting):
    ((name, answers),) = fitting.baselines()
    assert name.startswith("joint n-gram (order ")
    scores = fitting.scores(answers)
    assert list(scores) == ["exact match", "symbol error rate"]
    assert scores["exact match"].value > 0.95 and scores["symbol error rate"].value < 0.02


@pytest.mark.slow
def test_a_network_is_scored_by_its_decoded_answers_and_its_cross_entropy(fitting, task):
    answers = fitting.answers(network(task.inputs, task.outputs))
    part = task.prepared.parts["evaluation"]
    assert len(answers.found) == len(part.texts) and len(answers.losses) == len(part.rows)
    sums = {"loss": 0.0, "weight": 0.0}
    for index in range(int(task.batches("evaluation", {}))):
        batch = task.batch_at(task.data(0), "evaluation", jax.random.key(0), jnp.asarray(index), {})
        net = network(task.inputs, task.outputs)
        logits = net.teach(batch.inputs, net.given(batch.targets), batch.lengths, batch.target_lengths)
        for key, value in task.measure(logits, batch).items():
            sums[key] += float(value)
    scores = fitting.scores(answers)
    assert scores["nats per symbol"].value == pytest.approx(sums["loss"] / sums["weight"], rel=1e-4)
    assert scores["exact match"].value < 0.1


def test_any_of_several_targets_is_right_and_differences_are_in_pairs(fitting, task):
    part = task.prepared.parts["evaluation"]
    first = Answers(tuple(each[0] for each in part.references), None)
    last = Answers(tuple(each[-1] for each in part.references), None)
    assert any(len(each) == 2 for each in part.references)
    assert fitting.scores(first)["exact match"].value == fitting.scores(last)["exact match"].value == 1
    wrong = Answers(tuple((*each[0], "Q") for each in part.references), None)
    found = fitting.difference(wrong, first)
    assert (found.value, found.low, found.high) == (-1, -1, -1)
    table = fitting.examples(wrong)
    assert list(table) == ["word", "sound", "answer", "errors"] and table["errors"].max() == 1
    assert table["answer"][0].endswith(" Q")


def test_attention_is_shown_in_the_order_of_the_source_though_it_is_read_backwards(fitting, task):
    net, preparation = network(task.inputs, task.outputs), task.preparation
    found = fitting.further(net)["attention"]
    one = found[found["example"] == 0]
    steps = one[one["answer"] == 0]
    source = "".join(steps["source symbol"])
    assert preparation.backwards and source in task.prepared.parts["evaluation"].texts
    assert steps["source"].tolist() == list(range(len(source))) and steps["weight"].sum() == pytest.approx(1, abs=1e-5)
    answer = [*one.drop_duplicates("answer")["answer symbol"][:-1]]
    target = [*preparation.target.vocabulary.encode(answer), preparation.end]
    numbers = preparation.source.encode([source])[0]
    weights = attended(net, jnp.asarray(numbers[::-1]), jnp.asarray(target, jnp.int32))
    shown = one.pivot(index="answer", columns="source", values="weight").to_numpy()
    np.testing.assert_allclose(shown, np.asarray(weights)[:, ::-1], rtol=1e-5)


def test_answers_are_those_of_the_network_whatever_stands_beside(predictor):
    texts = ["abc", "d", "abcdabcd"]
    alone = pd.concat([predictor.predict([text]) for text in texts], ignore_index=True)
    together = predictor.predict(texts)
    assert list(together) == ["word", "answer", "log probability"]
    assert together.attrs[ANSWERS] == ["answer", "log probability"]
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4)


def test_several_answers_are_a_row_each_the_likeliest_first(predictor, task):
    found = predictor.predict(pd.DataFrame({"id": [7, 8], "word": ["ab", "cd"]}), beam=5, best=3)
    assert found["id"].tolist() == [7, 7, 7, 8, 8, 8] and found["rank"].tolist() == [1, 2, 3] * 2
    assert found.groupby("id")["answer"].nunique().tolist() == [3, 3]
    assert found.attrs[ANSWERS] == ["answer", "rank", "log probability"]
    preparation, net = predictor.preparation, predictor.network
    for _, row in found.iterrows():
        target = [*preparation.target.encode([row["answer"]])[0], preparation.end]
        if len(target) > preparation.limit:
            continue
        logits = net(jnp.asarray(preparation.source.encode([row["word"][::-1]])[0]), jnp.asarray(target))
        logs = jax.nn.log_softmax(logits)[np.arange(len(target)), np.asarray(target)]
        assert float(logs.sum()) == pytest.approx(row["log probability"], rel=1e-3)


def test_columns_of_the_data_that_are_called_as_answers_are_kept(predictor):
    found = predictor.predict(pd.DataFrame({"answer": ["mine"], "word": ["ab"], "rank": [7]}), beam=2, best=2)
    assert list(found) == ["answer", "word", "rank", "predicted answer", "predicted rank", "log probability"]
    assert found["answer"].tolist() == ["mine"] * 2 and found["predicted rank"].tolist() == [1, 2]
    assert found.attrs["answers"] == ["predicted answer", "predicted rank", "log probability"]


def test_odd_sources_have_answers(predictor, tmp_path):
    path = tmp_path / "new.txt"
    path.write_bytes("\ufeffabc\r\n\r\nя👍e\u0301\r\n".encode())
    found = predictor.predict(path)
    assert found["word"].tolist() == ["abc", "", "я👍e\u0301"]
    assert found["answer"][1] == "" and np.isnan(found["log probability"][1])
    assert np.isfinite(found["log probability"][[0, 2]]).all()
    assert predictor.predict([""])["answer"].tolist() == [""]
    assert len(predictor.predict([])) == 0


@pytest.mark.parametrize(
    ("data", "options", "line"),
    [
        (["abc"], {"best": 9}, "best must be from 1"),
        (["abc"], {"beam": 0}, "at least 1"),
        ([1], {}, "sources are texts, not int"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), {}, "has no column 'word'"),
        ("nowhere.txt", {}, "cannot be read"),
    ],
)
def test_what_cannot_be_answered_is_one_line(predictor, data, options, line):
    with pytest.raises(CapaxError, match=line):
        predictor.predict(data, **options)


def test_a_network_of_another_kind_is_one_line(task, fitting):
    stack = Network.create("gru", inputs=task.inputs, outputs=task.outputs, units=4, key=jax.random.key(0))
    with pytest.raises(CapaxError, match="encoder-decoder"):
        fitting.answers(stack)


# Connectionist temporal classification


@pytest.fixture(scope="module")
def of_ctc(task):
    """The task of pairs with ctc, and a network."""
    made = tasks.get("translate", path=task.path, decoder="ctc")
    network = Bidirectional.create("gru", inputs=made.inputs, outputs=made.outputs, units=6, key=jax.random.key(0))
    return made, network


def test_with_ctc_answers_have_the_probability_that_the_loss_gives_them(of_ctc, tmp_path):
    made, network = of_ctc
    preparation = jobs.from_json(json.loads(json.dumps(made.preprocessing())))
    assert preparation == made.preparation and preparation.slots == 2
    found = TranslatePredictor(network, preparation).predict(["abc", "", "dacb"], beam=6, best=3)
    assert found["word"].tolist() == ["abc"] * 3 + [""] + ["dacb"] * 3 and found["rank"].tolist() == [
        1,
        2,
        3,
        1,
        1,
        2,
        3,
    ]
    assert found["answer"][3] == ""
    for _, row in found[found["word"] != ""].iterrows():
        numbers = preparation.source.encode([row["word"]])[0]
        logits = ctc.places(network(jnp.asarray(numbers))[None].T, 2)
        target = preparation.target.encode([row["answer"]])[0]
        due = ctc.losses(
            logits, jnp.asarray([2 * len(numbers)]), jnp.asarray(target, jnp.int32)[None], jnp.asarray([len(target)])
        )
        assert row["log probability"] == pytest.approx(-float(due[0]), rel=1e-4)
    logs = found.groupby("word")["log probability"].apply(list)
    assert all(each == sorted(each, reverse=True) for each in logs)


def test_with_ctc_a_network_is_scored_by_its_task_and_has_no_attention(of_ctc):
    made, network = of_ctc
    fitting = TranslateFitting(made)
    answers = fitting.answers(network)
    part = made.prepared.parts["evaluation"]
    assert len(answers.found) == len(part.texts)
    sums = {"loss": 0.0, "weight": 0.0}
    for index in range(int(made.batches("evaluation", {}))):
        batch = made.batch_at(made.data(0), "evaluation", jax.random.key(0), jnp.asarray(index), {})
        for key, value in made.measure(responding.outputs(network, batch, 0), batch).items():
            sums[key] += float(value)
    assert fitting.scores(answers)["nats per symbol"].value == pytest.approx(sums["loss"] / sums["weight"], rel=1e-4)
    assert fitting.further(network) == {}


def test_a_decoder_and_a_network_that_do_not_belong_together_are_one_line(of_ctc, task):
    made, _ = of_ctc
    with pytest.raises(CapaxError, match="decoder=ctc needs a network of any other kind"):
        TranslateFitting(made).answers(network(made.inputs, made.outputs))
