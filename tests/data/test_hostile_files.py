"""Data files from anyone: bombs, headers that lie, and pickles are one line, at once, in little
memory, and no code runs.
"""

import gzip
import io
import struct
import zipfile

import numpy as np
import pandas as pd
import pytest

from capax.data import arrays, table
from capax.data.content import content
from capax.errors import CapaxError
from tests.bounded import look

IMPORTS = "from capax.data import arrays; from capax.fitting.recognise import recognise"
READ = 'arrays.read(Path(name)) if name.endswith((".npy", ".npz")) else recognise(Path(name), None, {})'
BLOCK = b"1,2,3\n" * 170_000  # 1 MB
MANY = 500


def npy(shape, data=b"", descr="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def zipped(place, name, head=b"", block=BLOCK):
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        member.write(head)
        for _ in range(MANY):
            member.write(block)


def test_bombs_and_headers_that_lie_are_refused_at_once_and_in_little_memory(tmp_path):
    with gzip.open(tmp_path / "bomb.csv.gz", "wb") as out:
        for _ in range(MANY):
            out.write(BLOCK)
    zipped(tmp_path / "bomb.zip", "bomb.csv")
    zipped(tmp_path / "bomb.npz", "a.npy", npy((MANY * 2**17,)), bytes(2**20))
    (tmp_path / "longer.npy").write_bytes(npy((2**50,), bytes(80)))
    (tmp_path / "objects.npy").write_bytes(npy((1,), b"\x80\x04cos\nsystem\n(S'true'\ntR.", "|O"))
    (tmp_path / "header.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"(" * 10_000)
    with zipfile.ZipFile(tmp_path / "longer.npz", "w") as archive:
        archive.writestr("a.npy", npy((2**50,), bytes(80)))
    rows = pd.DataFrame({"a": np.zeros(10_000_000, np.int8), "b": np.zeros(10_000_000, np.int8), "c": 0})
    rows.to_parquet(tmp_path / "bomb.parquet")
    names = sorted(map(str, tmp_path.iterdir()))
    found = look(names, IMPORTS, READ)
    assert len(found.told) == len(names) == 8
    for name, (line, seconds) in found.told.items():
        assert "\n" not in line and len(line) < 400 and seconds < 90 and name in line, line
        if "bomb" in name:
            assert "as a zip bomb does; if you trust it, unpack it" in line or "as a bomb does; if you" in line, line
        else:
            assert "cannot be read as a NumPy array" in line, line
    assert found.mebibytes < 500, found.mebibytes


def test_what_is_packed_well_is_read_all_the_same(tmp_path):
    text = b"1,2,3\n" * 10_000_000  # 60 MB of 60 kB
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text, 1))
    assert content(tmp_path / "a.csv.gz") == text
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((1000, 1000, 8)))
    assert arrays.loaded(tmp_path / "a.npz")["a"].shape == (1000, 1000, 8)


def test_a_zip_whose_file_is_longer_than_it_says_is_damaged(tmp_path):
    zipped(tmp_path / "a.zip", "a.csv", block=b"1,2\n" * 1000)
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    place = raw.rindex(b"PK\x01\x02") + 24  # the size in the archive's directory
    raw[place : place + 4] = struct.pack("<I", 400)
    (tmp_path / "a.zip").write_bytes(bytes(raw))
    with pytest.raises(CapaxError, match="is a damaged zip file"):
        content(tmp_path / "a.zip")


def test_a_pickle_in_the_place_of_a_table_is_one_line(tmp_path):
    for name in ("a.csv", "a.parquet", "a.npy", "a.npz"):
        (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
        with pytest.raises(CapaxError) as caught:
            arrays.read(tmp_path / name) if name[2:] in ("npy", "npz") else table.read(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)
