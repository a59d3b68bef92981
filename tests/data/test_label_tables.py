"""Which columns of a table, or arrays of a file, are sequences and labels; and what is wrong with
what is none.
"""

import re

import numpy as np
import pandas as pd
import pytest

from capax.data import label_tables
from capax.data.labelled import Layout, Said, as_label
from capax.errors import CapaxError


@pytest.fixture
def classes(tmp_path):
    def read(text, name="data.csv", **said):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return label_tables.read_classes(path, Said(**said))

    return read


LONG = "id,t,x,y,kind\n" + "".join(f"{s},{t},{s + t},{t},{'ab'[s % 2]}\n" for s in range(6) for t in range(3 + s % 2))


def test_rows_that_are_steps_are_sequences_by_the_column_that_tells_them_apart(classes):
    found = classes(LONG)
    assert found.layout.series == "id" and found.layout.target == "kind" and found.layout.time == "t"
    assert found.layout.features == ("x", "y") and found.labels == ("a", "b", "a", "b", "a", "b")
    np.testing.assert_array_equal(found.steps[1], [[1, 0], [2, 1], [3, 2], [4, 3]])
    assert list(found.rows) == ["id", "kind"] and len(found.rows) == 6
    assert any("'id' tells 6 apart" in note for note in found.notes)


def test_rows_in_another_order_are_the_same_sequences(classes):
    lines = LONG.splitlines()
    mixed = [lines[0], *np.random.default_rng(0).permutation(lines[1:])]
    straight, sorted_by_time = classes(LONG), classes("\n".join(mixed))
    by_name = dict(zip(sorted_by_time.rows["id"], sorted_by_time.steps, strict=True))
    for name, steps in zip(straight.rows["id"], straight.steps, strict=True):
        np.testing.assert_array_equal(by_name[name], steps)


def test_a_sequence_with_two_labels_is_named(classes):
    with pytest.raises(CapaxError, match="sequence '5' has several labels, 'a' and 'b'"):
        classes(LONG.replace("5,3,8,3,b", "5,3,8,3,a").replace("5,0,5,0,b", "5,0,5,0,a"), series="id")


def test_rows_that_are_texts_keep_numbers_as_they_are_written(classes):
    found = classes("text,label\n0110,odd\n1111,even\n0011,even\n0001,odd\n")
    assert found.layout.kind == "characters" and found.steps[0] == ("0", "1", "1", "0")
    words = classes("label,text\ngood,it is a good day!\nbad,it is a bad one\n")
    assert words.layout.kind == "words" and words.steps[0] == ("it", "is", "a", "good", "day", "!")
    assert classes("label,text\ngood,it is good\nbad,it is bad\n", symbols="characters").steps[0][:3] == ("i", "t", " ")


def test_rows_of_numbers_without_names_are_sequences_with_the_label_first_and_may_end_early(classes):
    rows = ["1\t.5\t.25\t.125\t.5", "2\t.75\t.5\tNaN\tNaN", "1\t.5\tNaN\t.25\t.5", "2\t.5\t.25\t.5\t.75"]
    found = classes("\n".join(rows), name="Set_TRAIN.tsv")
    assert found.labels == ("1", "2", "1", "2") and found.layout.form == "rows"
    assert [len(steps) for steps in found.steps] == [4, 2, 4, 4]
    assert np.isnan(found.steps[2][1, 0])


def test_columns_called_alike_are_the_steps_and_others_are_left_out(classes):
    found = classes("age,t1,t2,t3,class\n30,1,2,3,a\n40,2,3,4,b\n50,1,1,1,a\n20,2,2,2,b\n")
    assert found.layout.features == ("t1", "t2", "t3") and "left out: age" in found.notes


def test_a_column_names_the_parts(classes):
    found = classes("text,label,split\naaa,x,train\nbbb,y,dev\nccc,x,Test\nddd,y,train\n")
    assert found.parts == ("train", "validation", "evaluation", "train")
    with pytest.raises(CapaxError, match="line 3: 'later' names no part"):
        classes("text,label,split\naaa,x,train\nbbb,y,later\n")


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a,b\n1.5,2.5\n3.5,4.5\n", {}, "which column holds the labels"),
        ("x,label\n1,a\n2,b\n", {}, "no sequence was found in it"),
        (LONG, {"target": "sort"}, "has no column 'sort' for --target"),
        (LONG, {"series": "ident"}, "has no column 'ident'.* for --series"),
        ("text,label\n", {}, "names of columns and no row"),
        ("", {}, "is empty"),
        (LONG.replace("2,1,3,1,a", "2,1,three,1,a"), {}, "'three' .column 'x', line .*is no number"),
    ],
)
def test_what_holds_no_sequences_with_labels_is_one_line(classes, text, said, line):
    with pytest.raises(CapaxError, match=line) as error:
        classes(text, **said)
    assert "\n" not in str(error.value)


ROWS = [(f"{n % 7}", f"{n}", f"{n + 10},0{n % 10} €", "ab"[n % 2]) for n in range(40)]


@pytest.mark.parametrize(
    ("names", "chosen", "said", "otherwise"),
    [
        ("x1;x2;x3;kind", (0, 1, 2, 3), {}, "or leave the column out"),
        ("x1;x3;kind", (0, 2, 3), {}, "or leave the column out"),
        ("x3;kind", (2, 3), {}, "or say --set text=x3 if it is a text"),
        ("id;x1;x3;kind", (3, 0, 2, 3), {"series": "id"}, "or leave the column out"),
        ("id;x3;kind", (3, 2, 3), {"series": "id"}, "or say --set text=x3 if it is a text"),
    ],
)
def test_numbers_with_a_sign_are_named_and_not_dropped(tmp_path, names, chosen, said, otherwise):
    path = tmp_path / "data.csv"
    path.write_text("\n".join([names, *(";".join(row[c] for c in chosen) for row in ROWS)]), encoding="utf-8")
    line = f"'10,00 €' in column 'x3' is no number; take the sign away, {re.escape(otherwise)}.$"
    for read in (label_tables.read_classes, *([label_tables.read_labels] if said else [])):
        with pytest.raises(CapaxError, match=line):
            read(path, Said(target="kind", **said))


def test_labels_with_a_sign_are_taken_where_they_are_named(classes):
    text = "x1,x2,share\n" + "".join(f"{n},{n % 7},{10 * (n % 3)} %\n" for n in range(30))
    assert set(classes(text, target="share").labels) == {"0 %", "10 %", "20 %"}
    with pytest.raises(
        CapaxError, match=r"'0 %' in column 'share' is no number; .* or say --target share if it is a label"
    ):
        classes(text)
    layout = classes("x1,x2,kind\n" + "".join(f"{n},{n % 7},{'ab'[n % 2]}\n" for n in range(30))).layout
    new = pd.DataFrame({"x1": [1.0, 2.0], "x2": ["3 %", "4 %"]})
    with pytest.raises(CapaxError, match="'3 %' in column 'x2' is no number; take the sign away"):
        label_tables.read_again(new, layout, a_label_each=True)


def test_labels_are_texts_without_a_needless_decimal_point():
    assert [as_label(value) for value in (1.0, 1.5, "a ", "", np.nan, None)] == ["1", "1.5", "a", None, None, None]


@pytest.fixture
def arrays(tmp_path):
    def read(at_steps=False, **given):
        np.savez(tmp_path / "data.npz", **given)
        read = label_tables.read_labels if at_steps else label_tables.read_classes
        return read(tmp_path / "data.npz", Said())

    return read


X = np.arange(12.0).reshape(3, 2, 2)


def test_arrays_of_each_form_are_sequences_with_labels(arrays):
    found = arrays(X=X, y=np.array([0, 1, 0]))
    assert found.labels == ("0", "1", "0") and found.layout.features == ("feature 1", "feature 2")
    np.testing.assert_array_equal(found.steps[1], X[1])
    ragged = arrays(values=X.reshape(6, 2), offsets=np.array([0, 1, 4, 6]), labels=np.array(["a", "b", "a"]))
    assert [len(steps) for steps in ragged.steps] == [1, 3, 2] and ragged.labels == ("a", "b", "a")
    flat = arrays(X=X[..., 0], y=np.array([0, 1, 0]))
    assert flat.steps[0].shape == (2, 1)
    steps = arrays(at_steps=True, X=X, y=np.array([[0, 1], [1, 1], [0, 0]]))
    assert steps.labels == (("0", "1"), ("1", "1"), ("0", "0"))
    one_after_the_other = arrays(at_steps=True, values=X.reshape(6, 2), offsets=np.array([0, 1, 4, 6]), y=np.arange(6))
    assert one_after_the_other.labels == (("0",), ("1", "2", "3"), ("4", "5"))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"X": X}, "has no labels: an array named y or labels"),
        ({"X": X, "y": np.array([0, 1])}, r"'y' has the shape \(2,\) for 3 sequences"),
        ({"X": X, "y": np.array(["a", 1, None], dtype=object)}, "Object arrays cannot be loaded"),
        ({"X": np.array([None, 1], dtype=object), "y": np.array([0, 1])}, "Object arrays cannot be loaded"),
        ({"X": np.where(X == 3, np.inf, X), "y": np.arange(3)}, "not finite"),
    ],
)
def test_arrays_that_are_no_sequences_with_labels_are_one_line(arrays, given, line):
    with pytest.raises(CapaxError, match=line):
        arrays(**given)


def test_steps_of_a_table_have_labels_and_a_sentence_is_named_once(tmp_path):
    path = tmp_path / "ner.csv"
    path.write_text("Sentence #,Word,POS,Tag\nSentence: 1,Anna,NN,B\n,sleeps,VB,O\nSentence: 2,5,CD,O\n,nan,NN,B\n")
    found = label_tables.read_labels(path, Said())
    assert found.steps == (("Anna", "sleeps"), ("5", "nan")) and found.labels == (("B", "O"), ("O", "B"))
    assert found.layout.text == "Word"


def test_numbers_with_a_label_at_each_step(tmp_path):
    frame = pd.DataFrame({"sensor": ["a"] * 3 + ["b"] * 2, "v": [1.0, 2, 3, 4, 5], "state": list("xyxyy")})
    frame.to_parquet(tmp_path / "steps.parquet")
    found = label_tables.read_labels(tmp_path / "steps.parquet", Said())
    assert found.labels == (("x", "y", "x"), ("y", "y")) and found.layout.features == ("v",)
    with pytest.raises(CapaxError, match="no column tells sentences or sequences apart"):
        frame.drop(columns="sensor").to_parquet(tmp_path / "one.parquet")
        label_tables.read_labels(tmp_path / "one.parquet", Said())


def test_a_layout_survives_json_and_refuses_anything_else(classes):
    layout = classes(LONG).layout
    assert Layout.from_json(layout.to_json()) == layout
    for broken in ({}, {**layout.to_json(), "form": "code"}, {**layout.to_json(), "features": "x"}, None):
        with pytest.raises(CapaxError, match="does not say how"):
            Layout.from_json(broken)


def test_new_data_of_another_layout_are_one_line(classes):
    layout = classes(LONG).layout
    with pytest.raises(CapaxError, match="has no column 'y', which the model reads"):
        label_tables.read_again(pd.DataFrame({"id": [1], "t": [0], "x": [1.0]}), layout, a_label_each=True)
    with pytest.raises(CapaxError, match=r"sequence 2 has the shape \(3, 1\); the model reads \(time, 2\)"):
        label_tables.read_again([np.zeros((3, 2)), np.zeros((3, 1))], layout, a_label_each=True)
    with pytest.raises(CapaxError, match="column 'x' has no numbers"):
        label_tables.read_again(
            pd.DataFrame({"id": [1, 1], "t": [0, 1], "x": ["a", "b"], "y": [1, 2]}), layout, a_label_each=True
        )


TS = "# a comment\n@problemName X\n@classLabel true a b\n@data\n1,2,?:4,5,6:a\n7:8:b\n"


def test_ts_files_are_sequences_of_several_dimensions_with_labels(classes):
    found = classes(TS, name="X_TRAIN.ts")
    np.testing.assert_array_equal(found.steps[0], [[1, 4], [2, 5], [np.nan, 6]])
    np.testing.assert_array_equal(found.steps[1], [[7, 8]])
    assert found.labels == ("a", "b")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1,2:a\n", "has no line @data"),
        (TS.replace("4,5,6", "4,5"), "line 5: its dimensions must have equally many values"),
        (TS.replace("4,5,6", "4,x,6"), "line 5 has a value that is no number"),
        (TS.replace("@data", "@timeStamps true\n@data"), "has time stamps within its lines"),
        ("@classLabel false\n@data\n1,2:3,4\n", "has no labels: a line @classLabel true is due"),
        ("@data\n", "holds no sequence"),
        (TS + "1:2:3:a\n", r"sequence 3 has the shape \(1, 3\); the model reads \(time, 2\)"),
    ],
)
def test_a_ts_file_that_does_not_fit_is_one_line(classes, text, line):
    with pytest.raises(CapaxError, match=line):
        classes(text, name="X.ts")
