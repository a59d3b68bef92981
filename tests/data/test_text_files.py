"""Texts: kept as they are, known by their content, and what is none is called what it is."""

import gzip
import hashlib
import platform
import unicodedata
import zipfile

import numpy as np
import pytest

from capax.data import text8
from capax.data.text import read
from capax.data.vocabulary import Vocabulary
from capax.errors import CapaxError

TEXTS = {
    "German": "Über größere Straßen",
    "Cyrillic": "Всё смешалось в доме",
    "emoji with modifiers": "a 👩🏽‍🚀 and 🏳️‍🌈",
    "composed": unicodedata.normalize("NFC", "café Ångström"),
    "decomposed": unicodedata.normalize("NFD", "café Ångström"),
    "line ends": "one\r\ntwo\rthree\nfour\u2028five\u2029six\x85",
    "tabs and spaces": "\ta  b\t\n ",
}


@pytest.mark.parametrize("characters", TEXTS.values(), ids=TEXTS.keys())
def test_characters_are_kept_as_they_are_and_come_back_from_their_numbers(tmp_path, characters):
    path = tmp_path / "text.txt"
    path.write_bytes(characters.encode())
    found = read(path).characters
    assert found == characters
    vocabulary = Vocabulary.fit(found)
    assert "".join(vocabulary.decode(vocabulary.encode(found))) == characters
    assert np.array_equal(vocabulary.encode(list(found)), vocabulary.encode(found))


def packed(path, how, raw):
    if how == "gzip":
        path.write_bytes(gzip.compress(raw))
    elif how == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.txt", raw)
    else:
        path.write_bytes(raw)


@pytest.mark.parametrize("how", ["plain", "gzip", "zip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_one_text_has_one_hash_however_it_is_packed_and_encoded(tmp_path, how, encoding):
    characters, path = TEXTS["German"], tmp_path / "text"
    packed(path, how, characters.encode(encoding))
    found = read(path, "cp1252" if encoding == "cp1252" else None)
    assert found.characters == characters
    assert found.source.sha256 == hashlib.sha256(characters.encode()).hexdigest()
    assert found.source.name == "text" and found.source.size == len(characters.encode())
    assert "20 characters" in found.notes[0]


def test_the_built_in_text_is_named_with_the_version_of_python():
    found = read()
    assert found.source.name == f"help texts of Python {platform.python_version()} without repeats"
    assert found.source.sha256 == hashlib.sha256(found.characters.encode()).hexdigest()


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("one\ntwo ü\n".encode("latin-1"), r"not a text file in UTF-8: line 2, byte 5 is 0xfc; .* --encoding cp1252"),
        (b"\xef\xbb\xbfok \xff", r"line 1, byte 7 is 0xff"),
        (b"\xff\xfea", r"not a text file in UTF-16-LE"),
        (b"a\0b\0", r"NUL bytes\); if it is UTF-16, say so: --encoding utf-16-le"),
        (b"\x89PNG\r\n", r"is a PNG image, not a text file"),
        (b"%PDF-1.7 ..", r"is a PDF document, not a text file"),
        (b"\x1f\x8b\x08 cut off", r"is a damaged gzip file"),
        (gzip.compress(b"some text" * 100, mtime=0)[:-20], r"is a damaged gzip file"),
        (b"PK\x03\x04 cut off", r"is a damaged zip file"),
    ],
)
def test_what_is_no_text_is_called_what_it_is(tmp_path, raw, line):
    path = tmp_path / "text"
    path.write_bytes(raw)
    with pytest.raises(CapaxError, match=line) as caught:
        read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_an_office_document_is_no_zip_of_texts(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<xml/>")
        archive.writestr("xl/workbook.xml", "<xml/>")
    with pytest.raises(CapaxError, match=r"is an Office document .* save it as CSV or plain text"):
        read(tmp_path / "book.xlsx")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13"])
def test_what_is_no_encoding_of_text_is_refused(tmp_path, encoding):
    (tmp_path / "text").write_text("text")
    with pytest.raises(CapaxError, match=f"unknown encoding '{encoding}'"):
        read(tmp_path / "text", encoding)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (" anarchism originated as", " anarchism originated as"),  # text8 begins with a space
        ("ends in a space ", "ends in a space "),
        ("300 \u212a are 80 \u00b0F", "three zero zero are eight zero f"),  # the kelvin's sign is no k
        ("\u0130stanbul", "stanbul"),  # nor is a capital I with a dot an i
        ("two  spaces", "two spaces"),
    ],
)
def test_cleaning_is_that_of_text8_for_letters_of_other_alphabets_and_for_text8_itself(text, cleaned):
    assert text8.clean(text) == cleaned == text8.clean(cleaned)


def test_the_share_of_letters_that_cleaning_drops():
    assert text8.share_dropped("plain text, 100%") == 0
    assert text8.share_dropped("größer") == pytest.approx(2 / 6)
    assert text8.share_dropped("мир x") == pytest.approx(3 / 4)
    assert text8.share_dropped("“quoted” – 5 °C 👩") == 0  # signs are no letters
    assert text8.share_dropped("") == 0


def test_a_vocabulary_knows_training_data_alone_and_survives_json():
    import json

    vocabulary = Vocabulary.fit("abracadabra", 3)
    assert vocabulary.symbols == ("a", "b", "r") and (vocabulary.unknown, vocabulary.size) == (3, 4)
    assert vocabulary.encode("bard").tolist() == [1, 0, 2, 3]
    assert vocabulary.decode([1, 0, 2, 3]) == ["b", "a", "r", "\ufffd"]
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    words = Vocabulary.fit(["to", "be", "or", "not", "to", "be"])
    assert words.symbols == ("to", "be", "or", "not") and words.encode(["be", "been"]).tolist() == [1, 4]
    assert Vocabulary(("a",)).encode("").shape == (0,)


@pytest.mark.parametrize("given", [{}, {"symbols": "abc"}, {"symbols": [1, 2]}, {"symbols": ["a", "a"]}])
def test_what_is_no_vocabulary_is_refused(given):
    with pytest.raises(CapaxError, match="vocabulary"):
        Vocabulary.from_json(given)
