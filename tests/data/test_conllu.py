"""Labelled words from CoNLL-U and from columns: what is a word, what is a label, what is wrong."""

import pytest

from capax.data import conllu, label_tables
from capax.data.labelled import Said
from capax.errors import CapaxError

TWO = (
    "# sent_id = a\n"
    "1-2\tdo\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tde\tde\tADP\tE\t_\t0\troot\t_\t_\n"
    "2\to\to\tDET\tR\t_\t1\tdet\t_\t_\n"
    "2.1\tele\tele\tPRON\t_\t_\t_\t_\t_\t_\n"
    "\n"
    "1\t#sim\tsim\t_\tI\t_\t0\troot\t_\n"
    "\n"
)


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_words_written_together_and_empty_nodes_are_no_words_of_their_own(file):
    found = label_tables.read_labels(file("a.conllu", TWO), Said())
    assert found.steps == (("de", "o"), ("#sim",))
    assert found.labels == (("ADP", "DET"), (None,))
    assert list(found.rows["sentence"]) == [1, 1, 2] and list(found.rows["form"]) == ["de", "o", "#sim"]
    assert [places.tolist() for places in found.places] == [[0, 1], [2]]
    assert "2 sentences of 3 words; labels: 'upos', known of 2 words" in found.notes[0]


def test_another_column_holds_the_labels_where_it_is_named(file):
    found = label_tables.read_labels(file("a.txt", TWO), Said(target="xpos"))
    assert found.labels == (("E", "R"), ("I",)) and found.layout.target == "xpos"


@pytest.mark.parametrize(
    ("text", "target", "line"),
    [
        (TWO, "pos", "has no column 'pos' .* for --target; it has id, form"),
        ("# nothing\n\n", None, "holds no sentence"),
        ("a b c\nd e f\n", None, "is no CoNLL-U file: "),
    ],
)
def test_what_is_no_conllu_is_one_line(file, text, target, line):
    with pytest.raises(CapaxError, match=line) as error:
        label_tables.read_labels(file("a.conllu", text), Said(target=target))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_columns_with_empty_lines_between_sentences_are_words_and_labels(file, separator):
    lines = ["-DOCSTART- -X- O", "", "# id = 3", "EU NNP B-ORG", "rejects VBZ O", "", "#tag NN O", "\ufeff NN O"]
    text = "\n".join(line if line.startswith(("-", "# ")) else line.replace(" ", separator) for line in lines)
    found = label_tables.read_labels(file("ner.txt", text), Said())
    assert found.steps[0] == ("EU", "rejects") and found.labels[0] == ("B-ORG", "O")
    assert found.steps[1][0] == "#tag" and found.layout.form == "columns"
    other = label_tables.read_labels(file("ner.txt", text), Said(target="column 2"))
    assert other.labels[0] == ("NNP", "VBZ")


def test_a_line_with_another_number_of_cells_is_named(file):
    path = file("bad.conll", "a X\nb Y\n\nc\n")
    with pytest.raises(CapaxError, match="line 4 has 1 cell where 2 are due"):
        conllu.read_columns(path, path.read_text())


def test_words_without_labels_are_read_again_in_a_known_layout(file):
    layout = label_tables.read_labels(file("a.txt", "a X\nb Y\n\nc X\n"), Said()).layout
    found = label_tables.read_again(file("new.txt", "a\nb\n\nd\n"), layout, a_label_each=False)
    assert found.steps == (("a", "b"), ("d",)) and found.labels == ((None, None), (None,))
