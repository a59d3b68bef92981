"""Pairs of texts from files of all kinds: columns, first lines, and what cannot be read."""

import pandas as pd
import pytest

from capax.data import pairs
from capax.errors import CapaxError


def read(tmp_path, raw, name="pairs.tsv", **options):
    path = tmp_path / name
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return pairs.read(path, **options)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("cat\tK AE T\ndog\tD AO G\n", "a.tsv"),
        ("cat\tK AE T\r\ndog\tD AO G", "a.txt"),
        ("\ufeffcat\tK AE T\n\n\ndog\tD AO G\n\n", "a.txt"),
        ("source,target\ncat,K AE T\ndog,D AO G\n", "a.csv"),
        ("word;pronunciation\ncat;K AE T\ndog;D AO G\n", "a.csv"),
        ("id,word,sound\n1,cat,K AE T\n2,dog,D AO G\n", "a.csv"),
        ("sound\tword\nK AE T\tcat\nD AO G\tdog\n", "a.tsv"),
        ('"cat","K AE T"\n"dog","D AO G"\n', "a.csv"),
    ],
)
def test_pairs_are_found_in_files_of_all_kinds(tmp_path, raw, name):
    found = read(tmp_path, raw, name)
    assert found.sources == ("cat", "dog") and found.targets == ("K AE T", "D AO G")
    assert len(found.notes) >= 2


def test_a_first_line_that_names_columns_of_longer_texts_is_known_by_what_stands_below(tmp_path):
    below = "".join(f"w{n}\tA B{n} C\n" for n in range(10))
    assert read(tmp_path, f"Wort\tAussprache\n{below}").columns == ("Wort", "Aussprache")
    assert len(read(tmp_path, below)) == 10 and len(read(tmp_path, f"w\tA\n{below}", header=False)) == 11
    assert len(read(tmp_path, below, header=True)) == 9


def test_columns_can_be_named_and_numbers_are_texts(tmp_path):
    raw = "a,b,c\n1,07,x\n2,08,y\n"
    found = read(tmp_path, raw, "n.csv", source="b", target="c")
    assert found.sources == ("07", "08") and found.targets == ("x", "y")
    path = tmp_path / "n.parquet"
    pd.DataFrame({"source": ["a", None, "b"], "target": [1, 2, 3]}).to_parquet(path)
    assert pairs.read(path).sources == ("a", "b") and pairs.read(path).targets == ("1", "3")


def test_texts_are_taken_as_they_are(tmp_path):
    family, combined, cyrillic = "👨‍👩‍👧", "e\u0301", "Щука"
    found = read(tmp_path, f'{family}\t"quoted\n{cyrillic}\t"say ""hi"""\n{combined}\té\n')
    assert found.sources == (family, cyrillic, combined)
    assert found.targets == ('"quoted', 'say "hi"', "é")


def test_what_is_missing_is_left_out_and_counted(tmp_path):
    found = read(tmp_path, "a\tx\n\ty\nb\t\nc\tz\n")
    assert found.sources == ("a", "c") and any("2 rows without a source or a target" in note for note in found.notes)
    assert len(read(tmp_path, "only\tone\n")) == 1


@pytest.mark.parametrize(
    ("raw", "options", "line"),
    [
        ("", {}, "is empty"),
        ("\n \n", {}, "is empty"),
        ("one\ntwo\n", {}, "has one column; pairs are due"),
        ("a\tb\nc\td\te\n", {}, "line 2 has 3 cells where 2 are due"),
        ("a\t\n\tb\n", {}, "no pair of a source and a target"),
        ("p,q,r\n1,2,3\n4,5,6\n", {}, "say which holds the sources: --set source=COLUMN"),
        ("source,target\n1,2\n", {"target": "targte"}, r"no column 'targte' \(did you mean 'target'\?\)"),
        ("source,target\n1,2\n", {"source": "target", "target": "target"}, "cannot be both"),
        (b"a\t\xff\n", {}, "not a text file in UTF-8"),
    ],
)
def test_what_holds_no_pairs_is_one_line(tmp_path, raw, options, line):
    with pytest.raises(CapaxError, match=line):
        read(tmp_path, raw, "pairs.csv", **options)


def test_lists_are_pairs_one_for_one():
    assert pairs.of_texts(["a", " b "], ["x", "y"]).sources == ("a", "b")
    with pytest.raises(CapaxError, match="2 sources and 1 target;"):
        pairs.of_texts(["a", "b"], ["x"])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("cat\ndog, or cat\n\nbird\n", ["cat", "dog, or cat", "", "bird"]),
        ("word\ncat\ndog", ["cat", "dog"]),
        ("cat\tK AE T\r\ndog\tD AO G\r\n", ["cat", "dog"]),
        ("id,word\n1,cat\n2,dog\n", ["cat", "dog"]),
        ("\ufeffword\nкот\n", ["кот"]),
    ],
)
def test_new_sources_are_lines_or_a_column(tmp_path, raw, expected):
    path = tmp_path / "new.txt"
    path.write_text(raw, encoding="utf-8", newline="")
    frame, found = pairs.new_sources(path, "word")
    assert found == expected and len(frame) == len(expected)
