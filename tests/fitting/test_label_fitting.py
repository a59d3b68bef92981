"""Classification and labelling in a fit: answers, scores, baselines, and labels of new data."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from capax import jobs, tasks
from capax.cells.wiring import Wiring
from capax.errors import CapaxError
from capax.fitting.classify import ClassifyFitting, ClassifyPredictor
from capax.fitting.label import LabelsFitting, LabelsPredictor
from capax.fitting.labelled import Labels, log_probabilities
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network
from capax.tasks.labelled import as_sequence

WORDS = ["the dog sees a cat", "a cat runs", "the bird sees the dog", "dogs run", "a bird sings in the tree"]


def network(task, kind=Bidirectional, embedding=3):
    wiring = Wiring(embedding=embedding)
    return kind.create("gru", inputs=task.inputs, outputs=task.outputs, units=4, key=jax.random.key(0), wiring=wiring)


@pytest.fixture
def series(tmp_path):
    """A table of 60 sequences whose label says whether they rise, and its task."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(60):
        slope = random.choice([-1, 1])
        for t in range(int(random.integers(4, 20))):
            rows.append((f"s{number}", t, slope * t + random.normal() * 0.3, "up" if slope > 0 else "down", "lab"))
    frame = pd.DataFrame(rows, columns=["id", "t", "x", "label", "place"])
    frame.to_csv(tmp_path / "series.csv", index=False)
    return frame, tasks.get("classify", path=str(tmp_path / "series.csv"))


@pytest.fixture
def sentences(tmp_path):
    """Sentences whose words have a fixed label, but for "sees"; and their task."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(80):
        for word in random.permutation(WORDS[number % 5].split()):
            label = random.choice(["V", "N"]) if word == "sees" else "D" if word in ("the", "a") else "O"
            rows.append((number, word, label))
    frame = pd.DataFrame(rows, columns=["sentence", "word", "tag"])
    frame.to_csv(tmp_path / "words.csv", index=False)
    return frame, tasks.get("label", path=str(tmp_path / "words.csv"))


@pytest.mark.grid(keep=1)
@pytest.mark.parametrize("kind", [Bidirectional, Network])
def test_a_network_s_answers_are_its_scores_on_the_evaluation_set(kind, series, sentences):
    for task, fitting in ((series[1], ClassifyFitting), (sentences[1], LabelsFitting)):
        made, compared = network(task, kind), fitting(task)
        found = compared.scores(compared.answers(made))
        data, total = task.data(0), {}
        for index in range(int(task.batches("evaluation", {}))):
            batch = task.batch_at(data, "evaluation", jax.random.key(0), jnp.asarray(index), {})
            measured = task.measure(made.run(batch.inputs, 0, lengths=batch.lengths), batch)
            total = {name: total.get(name, 0) + float(value) for name, value in measured.items()}
        due = task.scores(total)
        assert found["accuracy"].value == pytest.approx(due["accuracy"])
        assert found["cross-entropy (nats)"].value == pytest.approx(due["score"], rel=1e-5)
        assert list(found) == [score.name for score in compared.columns]


def test_padding_changes_no_answer(series):
    task = series[1]
    made, steps = network(task), task.prepared.parts["train"].data.steps
    together = log_probabilities(made, task.prepared.preparation, steps)
    for number in (0, 7):
        values, lengths = task.prepared.preparation.encode([steps[number]])
        alone = made.run(as_sequence(task.prepared.preparation.view, values), 0, lengths=jnp.asarray(lengths))
        due = jax.nn.log_softmax(alone, axis=0)[:, :, 0].T
        np.testing.assert_allclose(together[number], due, atol=1e-5)


def test_baselines_of_series_know_what_is_linear(series):
    compared = ClassifyFitting(series[1])
    answers = dict(compared.baselines())
    assert list(answers) == [
        "majority",
        "logistic regression (mean, deviation, ends, slope)",
    ]
    scores = [compared.scores(found)["accuracy"].value for found in answers.values()]
    assert scores[1] == 1.0 > scores[0]


def test_baselines_of_texts_count_characters_or_words(tmp_path):
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("ab"), 6)) for _ in range(100)]
    frame = pd.DataFrame({"text": texts, "label": ["yes" if "bb" in text else "no" for text in texts]})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    compared = ClassifyFitting(tasks.get("classify", path=str(tmp_path / "texts.csv")))
    answers = dict(compared.baselines())
    best = answers["logistic regression (1 to 3 characters)"]
    assert compared.scores(best)["accuracy"].value > compared.scores(answers["majority"])["accuracy"].value


def test_baselines_of_words_by_hand(sentences):
    task = sentences[1]
    compared = LabelsFitting(task)
    answers = dict(compared.baselines())
    assert list(answers) == [
        "majority",
        "most frequent label per word",
        "most frequent label per word, unknown by ending",
        "logistic regression (word, endings, neighbours)",
    ]
    words = [word for each in task.prepared.parts["evaluation"].data.symbols for word in each]
    fixed = np.array([word != "sees" for word in words])
    for name in list(answers)[1:]:
        np.testing.assert_array_equal(answers[name].found[fixed], compared.truth[fixed])
    assert compared.scores(answers["majority"])["accuracy"].value == np.mean(compared.truth == 2)  # "O" of D, N, O, V


def test_numbers_at_each_step_have_a_logistic_regression(series):
    frame, _ = series
    frame = frame.assign(label=np.where(frame["x"] > 2, "high", "low"))
    path = series[1].path.replace("series.csv", "steps.csv")
    frame.to_csv(path, index=False)
    compared = LabelsFitting(tasks.get("label", path=path, target="label", series="id"))
    answers = dict(compared.baselines())
    assert compared.scores(answers["logistic regression (numbers of five steps)"])["accuracy"].value > 0.95


def test_the_difference_is_in_pairs_and_the_tables_count_what_they_say(series):
    compared = ClassifyFitting(series[1])
    right = Labels(compared.truth, np.log(np.full((len(compared.truth), 2), 0.5)))
    wrong = Labels(1 - compared.truth, right.log_probabilities)
    assert compared.difference(right, wrong).value == 1.0
    table = compared.confusion(wrong)
    assert list(table.index) == ["down", "up"] and np.trace(table.to_numpy()) == 0
    assert table.to_numpy().sum() == len(compared.truth)
    bins, error = compared.reliability(right)
    assert bins.items.sum() == len(compared.truth) and error.value == pytest.approx(0.5)


def test_labels_that_training_has_not_are_a_row_of_the_confusion_matrix_and_errors(tmp_path):
    rows = [("aa", "x", "train"), ("bb", "y", "train"), ("ab", "x", "val"), ("ba", "z", "test"), ("bb", "y", "test")]
    pd.DataFrame(rows * 4, columns=["text", "label", "split"]).to_csv(tmp_path / "new.csv", index=False)
    compared = ClassifyFitting(tasks.get("classify", path=str(tmp_path / "new.csv")))
    found = compared.answers(network(compared.task))
    assert list(compared.confusion(found).index) == ["x", "y", "(not in training)"]
    assert compared.scores(found)["accuracy"].value <= 0.5
    assert set(compared.examples(found)["truth"]) == {"y", "z"}


def test_examples_stand_beside_the_truth(series, sentences):
    compared = ClassifyFitting(series[1])
    table = compared.examples(compared.answers(network(series[1])))
    assert list(table) == ["id", "label", "place", "truth", "found", "probability"]
    assert (table["truth"] == table["label"]).all() and table["probability"].between(0.5, 1).all()
    compared = LabelsFitting(sentences[1])
    table = compared.examples(compared.answers(network(sentences[1])))
    assert list(table) == ["sentence", "word", "tag", "truth", "found", "probability"]
    assert (table["truth"] == table["tag"]).all()


def predictor(kind, task):
    """As from a model file: the preparation has gone through JSON."""
    return kind(network(task), jobs.from_json(task.preprocessing()))


def test_new_series_have_a_label_each_whatever_the_order_of_rows(series):
    frame, task = series
    model = predictor(ClassifyPredictor, task)
    new = frame[frame["id"].isin(["s1", "s2", "s3"])].drop(columns="label")
    found = model.predict(new, probabilities=True)
    assert list(found) == ["id", "place", "label", "probability", "probability of down", "probability of up"]
    np.testing.assert_allclose(found["probability of down"] + found["probability of up"], 1)
    mixed = model.predict(new.sample(frac=1, random_state=0)).set_index("id").loc[["s1", "s2", "s3"]]
    np.testing.assert_allclose(mixed["probability"], found["probability"], rtol=1e-6)
    with_labels = model.predict(frame)
    assert list(with_labels) == ["id", "label", "place", "predicted label", "probability"]


def test_a_list_of_arrays_and_a_table_have_the_same_answers(series):
    frame, task = series
    model = predictor(ClassifyPredictor, task)
    by_table = model.predict(frame[frame["id"].isin(["s1", "s2"])])
    by_list = model.predict([frame.loc[frame["id"] == name, ["x"]].to_numpy() for name in ("s1", "s2")])
    np.testing.assert_array_equal(by_list["probability"], by_table["probability"])
    assert list(by_list) == ["sequence", "label", "probability"]


def test_new_data_need_not_say_parts(tmp_path):
    frame = pd.DataFrame(
        {"text": ["aab", "bba"] * 10, "label": ["x", "y"] * 10, "split": ["train"] * 14 + ["test"] * 6}
    )
    frame.to_csv(tmp_path / "parts.csv", index=False)
    model = predictor(ClassifyPredictor, tasks.get("classify", path=str(tmp_path / "parts.csv")))
    assert len(model.predict(pd.DataFrame({"text": ["ab"], "split": ["new"]}))) == 1


def test_columns_that_the_model_does_not_read_are_given_back_as_they_were_written(tmp_path, sentences):
    frame = pd.DataFrame({"text": ["aab", "bba"] * 10, "label": ["x", "y"] * 10})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    model = predictor(ClassifyPredictor, tasks.get("classify", path=str(tmp_path / "texts.csv")))
    lines = ["id,text,customer,label", '007,ab,"1,50",1', "12345678901234567891,aab,9007199254740993,"]
    (tmp_path / "new.csv").write_text("\n".join(lines))
    found = model.predict(tmp_path / "new.csv")
    assert list(found["id"]) == ["007", "12345678901234567891"]
    assert list(found["customer"]) == ["1,50", "9007199254740993"] and list(found["label"]) == ["1", ""]
    stamps = pd.date_range("2024-01-01", periods=2, freq="h", tz="Europe/Berlin")
    new = pd.DataFrame({"id": [7, 2**53 + 1], "text": ["ab", None], "when": stamps})
    for given in (new, new.set_index("id")):
        pd.testing.assert_frame_equal(model.predict(given)[["id", "text", "when"]], new)
    assert pd.isna(model.predict(new)["label"][1])  # a missing text has no symbols
    new.to_parquet(tmp_path / "new.parquet")
    assert model.predict(tmp_path / "new.parquet")["id"].tolist() == new["id"].tolist()
    pd.testing.assert_series_equal(
        model.predict(pd.DataFrame({"text": [110, 11]}))["probability"],
        model.predict(pd.DataFrame({"text": ["110", "11"]}))["probability"],
    )
    words = sentences[0].head(9).assign(number=range(9))
    steps = predictor(LabelsPredictor, sentences[1]).predict(words)
    pd.testing.assert_frame_equal(steps[["sentence", "word", "tag", "number"]], words)


def test_a_sequence_without_steps_has_no_label(series):
    found = predictor(ClassifyPredictor, series[1]).predict([np.zeros((0, 1)), np.zeros((3, 1))])
    assert pd.isna(found["label"][0]) and np.isnan(found["probability"][0]) and found["label"][1] in ("up", "down")


def test_new_words_have_a_label_each_in_the_rows_of_the_table(sentences):
    frame, task = sentences
    model = predictor(LabelsPredictor, task)
    new = pd.DataFrame({"word": ["zebras", "run", "the"], "sentence": [2, 1, 2], "note": list("xyz")})
    found = model.predict(new)
    assert list(found) == ["word", "sentence", "note", "label", "probability"]
    by_list = model.predict([["zebras", "the"], ["run"]])
    assert list(by_list["word"]) == ["zebras", "the", "run"]
    np.testing.assert_array_equal(by_list["probability"].to_numpy()[[0, 2, 1]], found["probability"])
    assert len(model.predict(["the dog runs!"])) == 4
    assert set(model.predict(frame)["label"]) <= {"D", "N", "O", "V"}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (pd.DataFrame({"id": ["a"], "t": [1]}), "has no column 'x', which the model reads"),
        (pd.DataFrame({"id": ["a"], "t": [1], "x": ["a"]}), "column 'x' has no numbers"),
        (pd.DataFrame({"id": [], "t": [], "x": []}), "holds no row"),
        ([np.zeros((3, 2))], r"sequence 1 has the shape \(3, 2\); the model reads \(time, 1\)"),
        ([np.array([np.inf])], "sequence 1 has a number that is not finite"),
        (["up and away"], "the model reads sequences of numbers"),
        ([], "there is no sequence to answer"),
        ("nowhere.csv", "there is no file nowhere.csv"),
    ],
)
def test_new_data_of_another_kind_are_one_line(series, data, line):
    with pytest.raises(CapaxError, match=line) as error:
        predictor(ClassifyPredictor, series[1]).predict(data)
    assert "\n" not in str(error.value)


def test_a_table_of_rows_without_names_is_read_with_and_without_its_labels(tmp_path):
    random = np.random.default_rng(0)
    table = np.column_stack([np.arange(30) % 3, random.normal(size=(30, 6))])
    np.savetxt(tmp_path / "Set_TRAIN.tsv", table, delimiter="\t")
    np.savetxt(tmp_path / "bare.tsv", table[:, 1:], delimiter="\t")
    task = tasks.get("classify", path=str(tmp_path / "Set_TRAIN.tsv"))
    assert task.inputs == 1 and task.length == 6 and task.outputs == 3
    model = predictor(ClassifyPredictor, task)
    both = [model.predict(str(tmp_path / name))["probability"] for name in ("Set_TRAIN.tsv", "bare.tsv")]
    np.testing.assert_array_equal(*both)
