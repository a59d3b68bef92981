"""Tables that people have: read right and said, or refused in one line that says what to do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capax.data import table
from capax.errors import CapaxError


@pytest.fixture
def read(tmp_path):
    """A table from the content of a file."""

    def call(content, name="data.csv", **given):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return table.read(path, **given)

    return call


@pytest.fixture
def refused(read):
    def call(content, name="data.csv", **given):
        with pytest.raises(CapaxError) as caught:
            read(content, name, **given)
        line = str(caught.value)
        assert "\n" not in line and name in line
        return line

    return call


def said(found, text):
    return any(text in note for note in found.notes)


def numbers(found, column):
    return found.frame[column].tolist()


# Separators and decimal marks


def test_semicolons_and_decimal_commas_are_recognised_and_said(read):
    found = read("t;a;b\n1;1,5;2,5\n2;-0,25;1.299,75\n")
    assert numbers(found, "a") == [1.5, -0.25] and numbers(found, "b") == [2.5, 1299.75]
    assert said(found, "separated by semicolons") and said(found, "decimal comma, as in '1,5' (column 'a', line 2)")


@pytest.mark.parametrize(("separator", "word"), [("\t", "tabs"), (";", "semicolons"), ("|", "bars"), (",", "commas")])
@pytest.mark.parametrize("name", ["data.csv", "data.tsv"])
def test_separators_are_recognised_whatever_the_file_is_called(read, separator, word, name):
    found = read(f"a{separator}b\n1.5{separator}2\n3{separator}4\n", name)
    assert numbers(found, "a") == [1.5, 3] and numbers(found, "b") == [2, 4] and said(found, f"separated by {word}")


def test_one_column_needs_no_separator(read):
    assert numbers(read("x\n1,5\n2,25\n"), "x") == [1.5, 2.25]
    assert numbers(read("x\n1\n2\n"), "x") == [1, 2]


def test_separators_inside_quotes_part_nothing(read):
    found = read('note,x\n"a, b; c",1\n"line\nbreak",2\n')
    assert found.words == ("note",) and numbers(found, "x") == [1, 2]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ('"1,200",1\n"12,345.5",2', [1200, 12345.5]),
        ('"1,200",1\n2,2', [1200, 2]),
        ("1 200,1\n1'200'300.5,2", [1200, 1200300.5]),
        ("1\u202f200,1\n\u22125,2", [1200, -5]),
        ("1e3,1\n-2.5E-1,2", [1000, -0.25]),
    ],
    ids=["point", "whole", "spaces and apostrophes", "narrow space and minus sign", "exponents"],
)
def test_thousands_are_read(read, cells, values):
    assert numbers(read(f"x,y\n{cells}\n"), "x") == values


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ("1.299,99;1\n1.299;2", [1299.99, 1299]),
        ("1.299.000;1\n5,5;2", [1299000, 5.5]),
        ("1 299,5;1\n1 299;2", [1299.5, 1299]),
        ("0,125;1\n1,125;2", [0.125, 1.125]),
        ("-1,5e3;1\n,5;2", [-1500, 0.5]),
    ],
    ids=["points", "points alone", "spaces", "no thousands begin with 0", "exponents"],
)
def test_thousands_beside_decimal_commas_are_read(read, cells, values):
    assert numbers(read(f"x;y\n{cells}\n"), "x") == values


def test_what_may_be_a_decimal_comma_or_thousands_is_asked(read, refused):
    line = refused("x;y\n1,299;1\n2,500;2\n")
    assert "'1,299' (column 'x', line 2)" in line and "--decimal" in line
    assert numbers(read("x;y\n1,299;1\n2,500;2\n", decimal=","), "x") == [1.299, 2.5]
    assert numbers(read("x;y\n1,299;1\n2,500;2\n", decimal="."), "x") == [1299, 2500]


@pytest.mark.parametrize(
    ("content", "cell"),
    [
        ("d;y\na;1.006\nb;993\nc;1.065\n", "1.006"),
        ("d;y\na;5.000\nb;5.328\n", "5.000"),
        ("d,y\na,993\nb,1.006\nc,836\n", "1.006"),
        ("d,r,y\na,0.5,993\nb,0.25,1.006\nc,1.5,836\n", "1.006"),
    ],
    ids=["semicolons", "semicolons alone", "beside much larger whole numbers", "beside other columns' decimals"],
)
def test_what_may_be_a_decimal_point_or_thousands_is_asked(read, refused, content, cell):
    line = refused(content)
    assert f"'{cell}' (column 'y', line" in line and "--decimal ," in line and "--decimal ." in line
    assert float(cell) in numbers(read(content, decimal="."), "y")
    if "0.5" not in content:
        assert float(cell) * 1000 in numbers(read(content, decimal=","), "y")


@pytest.mark.parametrize(
    "cells",
    [
        "0.123;1.500;2.250",
        "12.500;13.25;14.125",
        "1.500;2.250;1234",
        "-0.500;1.125;12.000",
    ],
    ids=["below 1", "two digits", "four digits before no point", "below 0"],
)
def test_decimals_with_three_digits_that_can_be_nothing_else_are_no_question(read, cells):
    rows = cells.split(";")
    expected = [float(cell) for cell in rows]
    assert numbers(read("d;y\n" + "".join(f"a;{cell}\n" for cell in rows)), "y") == expected


@pytest.mark.parametrize("cells", ["12.500,13.250,14.125", "1.125,2,3.250,40", "1.125,999,1.250,999"])
def test_three_digits_behind_a_point_are_decimals_where_commas_part_cells(read, cells):
    rows = cells.split(",")
    assert numbers(read("d,y\n" + "".join(f"a,{cell}\n" for cell in rows)), "y") == [float(cell) for cell in rows]


def test_decimals_in_another_column_settle_what_points_are(read):
    assert numbers(read("x;y\n0.5;1.125\n0.25;2.250\n"), "y") == [1.125, 2.25]


def test_decimal_marks_that_contradict_each_other_are_asked(refused):
    line = refused("x;y\n1,5;1\n2;2.5\n")
    assert "'1,5' (column 'x', line 2)" in line and "'2.5' (column 'y', line 3)" in line and "--decimal" in line
    assert "'2.5' (column 'y', line 3) is no number" in refused("x;y\n1,5;1\n2;2.5\n", decimal=",")
    with pytest.raises(CapaxError, match="not ';'"):
        table.read(Path("any.csv"), decimal=";")


# Missing values, infinities, and cells that are no numbers


@pytest.mark.parametrize("mark", ["n/a", "-", "?", "", "NA", "NaN", "null", "None", "."])
def test_a_mark_in_a_column_of_numbers_is_a_missing_value_and_said(read, mark):
    found = read(f"x,y\n1,5\n{mark},6\n3,7\n")
    np.testing.assert_array_equal(found.frame["x"], [1, np.nan, 3])
    assert said(found, "column 'x': 1 value is missing (" + ("empty cells)" if mark == "" else f"'{mark}')"))


@pytest.mark.parametrize("cell", ["12abc", "n/v", "1,2,3", "--5", "0x10"])
def test_one_cell_that_is_no_number_is_named_and_its_column_is_not_dropped(refused, cell):
    line = refused("x;y\n" + "1;2\n" * 5 + f"1;{cell}\n")
    assert f"'{cell}' (column 'y', line 7) is no number" in line


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e999"])
def test_infinities_are_refused_by_column_and_row(refused, cell):
    assert f"'{cell}' (column 'x', line 3) is not finite" in refused(f"x,y\n1,2\n{cell},3\n4,5\n")


def test_a_column_without_any_value_is_left_out_and_said(read):
    found = read("x,y\n1,\n2,-\n")
    assert found.numbers == ("x",) and said(found, "column 'y' has no value and is left out")


def test_columns_of_words_are_said(read):
    found = read("x,weather\n1,rain\n2,sun\n3,sun\n")
    assert found.words == ("weather",) and said(found, "no numbers: 'weather' (such as 'rain')")


# Names of columns


def test_a_file_without_names_loses_no_row(read):
    found = read("1,2.5\n3,4.5\n5,6.5\n")
    assert numbers(found, "column 1") == [1, 3, 5] and said(found, "the first line holds values like the others")
    stamped = read("2024-01-01,2.5\n2024-01-02,4.5\n")
    assert stamped.time == "column 1" and numbers(stamped, "column 2") == [2.5, 4.5]
    words = read("a,1\nb,2\nc,3\n")
    assert numbers(words, "column 2") == [1, 2, 3] and words.words == ("column 1",)


def test_years_may_be_names_and_words_may_stand_under_words(read):
    wide = read("country,1990,1991,1992\nA,1,2,3\nB,4,5,6\n")
    assert wide.numbers == ("1990", "1991", "1992")
    paired = read("spelling,sound\ncat,K AE T\ndog,D AO G\n")
    assert paired.words == ("spelling", "sound") and paired.numbers == ()


def test_names_that_stand_twice_or_are_missing_are_told_apart(read):
    found = read("x,x,,y\n1,2,3,4\n5,6,7,8\n")
    assert found.numbers == ("x", "x 2", "column 3", "y") and said(found, "x 2")


def test_a_separator_at_each_lines_end_is_no_column(read):
    assert read("x;y;\n1;2;\n3;4;\n").numbers == ("x", "y")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("x,y\n", "holds names of columns and no row"),
        ("", "is empty"),
        ("\n\n \n", "is empty"),
        ("x,y\n1,2\n3,4,5\n", "line 3 has 3 cells where 2 are due"),
        ("x,y\n1,2\n3\n4,5\n6,7\n", "line 3 has 1 cell where 2 are due"),
        ('x,y\n"a\nb",2\n\n3,4,5\n', "line 5 has 3 cells where 2 are due"),
        ("x,y\n1,2,3\n4,5,6\n", "the first line has 2 names, the others have 3 cells"),
    ],
)
def test_what_is_no_table_is_one_line(refused, content, line):
    assert line in refused(content)


@pytest.mark.parametrize("units", [",°C,%", "UTC,[°C],[%]", "time,m/s,1/min"])
def test_a_row_of_units_below_the_names_is_left_out_and_said(read, units):
    rows = "".join(f"2024-01-{day:02},{day}.5,{day}\n" for day in range(1, 5))
    found = read(f"time,a,b\n{units}\n{rows}")
    assert found.time == "time" and numbers(found, "a") == [1.5, 2.5, 3.5, 4.5] and numbers(found, "b") == [1, 2, 3, 4]
    assert said(found, "the row below the names holds units, not values (") and said(found, "4 rows of 3 columns")


DAYS = "".join(f"{day:%Y-%m-%d},{day.day}\n" for day in pd.date_range("2024-01-01", periods=120))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("t,x\n2024-01-01,1\n2024-01-02,oops\n2024-01-03,3\n", "'oops' (column 'x', line 3)"),
        (f"t,x\nUTC,m/s\n{DAYS}2024-07-01,oops\n", "'oops' (column 'x', line 123)"),
        (f"t,x\nUTC,m/s\n{DAYS}soon1,3\n", "'soon1' in line 123 is no time stamp"),
        ("t,x\r\n\r\n2024-01-01,1\r\n\r\n2024-01-02,oops\r\n2024-01-03,3\r\n", "'oops' (column 'x', line 5)"),
        ('n,x\n"a\nb",1\nc,oops\nd,3\n', "'oops' (column 'x', line 4)"),
        ("2024-01-01,1\n2024-01-02,oops\n2024-01-03,3\n", "'oops' (column 'column 2', line 2)"),
        ("1\noops\n\n2\n3\n", "'oops' (column 'column 1', line 2)"),
    ],
)
def test_a_cell_is_named_by_the_line_that_a_text_editor_shows(refused, content, line):
    assert line in refused(content)


@pytest.mark.parametrize(
    "rows",
    ["2024-01-01,n/v\n2024-01-02,1\n2024-01-03,2\n", "rain,n/v\nsun,1\nsun,2\n", ",12abc\n3,1\n4,2\n"],
    ids=["beside a time", "beside a word", "a number and more"],
)
def test_a_first_row_with_a_cell_that_is_no_number_is_no_row_of_units(refused, rows):
    assert "(column 'y', line 2) is no number" in refused(f"x,y\n{rows}")


# Time


def test_time_stamps_are_recognised_and_no_feature(read):
    found = read("date,x\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n")
    assert found.time == "date" and found.numbers == ("x",)
    assert found.frame["date"].tolist() == list(pd.date_range("2024-01-01", periods=3))
    assert said(found, "time: 'date' (dates and times), 2024-01-01 to 2024-01-03")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["31.01.2024", "01.02.2024"], ["2024-01-31", "2024-02-01"]),
        (["01/31/2024", "02/01/2024"], ["2024-01-31", "2024-02-01"]),
        (["31/01/2024 13:30", "01/02/2024 00:30"], ["2024-01-31 13:30", "2024-02-01 00:30"]),
        (["1/31/2024 1:30 PM", "2/1/2024 12:30 AM"], ["2024-01-31 13:30", "2024-02-01 00:30"]),
        (["2024-01-31T12:00:00+02:00", "2024-02-01T12:00:00+01:00"], ["2024-01-31 10:00", "2024-02-01 11:00"]),
        (["2024-01-31T12:00:00Z", "2024-02-01T12:00:00Z"], ["2024-01-31 12:00", "2024-02-01 12:00"]),
        (["31 Jan 2024", "01 Feb 2024"], ["2024-01-31", "2024-02-01"]),
        (["2024-01", "2024-02"], ["2024-01-01", "2024-02-01"]),
        (["20240131", "20240201"], ["2024-01-31", "2024-02-01"]),
        (["1706659200", "1706745600"], ["2024-01-31", "2024-02-01"]),
        (["1706659200000", "1706745600000"], ["2024-01-31", "2024-02-01"]),
    ],
)
def test_time_stamps_are_recognised_in_many_forms(read, cells, expected):
    found = read("date;x\n" + "".join(f"{cell};{number}\n" for number, cell in enumerate(cells)))
    assert found.time == "date" and found.frame["date"].tolist() == [pd.Timestamp(stamp) for stamp in expected]


def test_day_and_month_are_told_apart_by_the_order_of_rows_or_the_doubt_is_said(read):
    found = read("date,x\n01/02/2024,1\n02/01/2024,2\n03/02/2024,3\n03/11/2024,4\n")  # by days 1 Feb, 2 Jan, ..
    assert found.frame["date"].tolist() == [
        pd.Timestamp(day) for day in ("2024-01-02", "2024-02-01", "2024-03-02", "2024-03-11")
    ]
    assert not said(found, "fits, too")
    assert said(
        read("date,x\n01/02/2024,1\n02/02/2024,2\n"), "month/day/year, though dates as day/month/year fits, too"
    )


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_day_and_month_are_told_apart_by_an_even_step(read, form, shuffled):
    months = list(pd.date_range("2015-01-01", periods=30, freq="MS"))
    rows = [f"{month.strftime(form)},{number}\n" for number, month in enumerate(months)]
    order = np.random.default_rng(0).permutation(30) if shuffled else range(30)
    found = read("date,x\n" + "".join(rows[number] for number in order))
    assert found.frame["date"].tolist() == months and not said(found, "fits, too")


def test_epoch_seconds_years_and_counts_of_steps_are_time(read):
    epoch = read("ts,x\n1700000000,1\n1700003600,2\n")
    assert epoch.time == "ts" and said(epoch, "seconds since 1970, in UTC") and epoch.numbers == ("x",)
    years = read("year,x\n1990,1\n1991,2\n1992,3\n")
    assert years.time == "year" and said(years, "1990-01-01 to 1992-01-01")
    count = read("t,x\n0,1\n1,2\n2,3\n")
    assert count.time == "t" and count.numbers == ("x",) and said(count, "a count of steps")


def test_numbers_that_only_rise_are_no_time(read):
    assert read("distance,x\n1,1\n2,2\n3,3\n").time is None
    assert said(read("x\n1\n"), "each row is the next time step; otherwise: --time COLUMN")


def test_time_can_be_named_or_denied(read, refused):
    content = "made,when,x\n2024-01-01,2024-02-02,1\n2024-01-02,2024-02-01,2\n"
    assert read(content).time == "made" and said(read(content), "not taken for time: when")
    assert numbers(read(content, time="when"), "x") == [2, 1]
    assert read(content, time="none").time is None
    assert "has no column 'wen' (did you mean 'when'?) for --time" in refused(content, time="wen")
    assert "column 'x' holds no time stamps" in refused("x,y\nred,1\nblue,2\n", time="x")


def test_a_cell_that_is_no_time_stamp_among_others_is_named(refused):
    days = "".join(f"2024-01-{day:02},1\n" for day in range(1, 21))
    assert "'soon1' in line 22 is no time stamp" in refused(f"date,x\n{days}soon1,2\n")
    assert "line 22 has no time stamp" in refused(f"date,x\n{days},2\n")


def test_unsorted_rows_are_sorted_and_said(read):
    found = read("date,x\n2024-01-03,3\n2024-01-01,1\n2024-01-02,2\n")
    assert numbers(found, "x") == [1, 2, 3] and said(found, "not in the order of time: sorted")
    assert not said(read("date,x\n2024-01-01,1\n2024-01-02,2\n"), "time: sorted")


def test_missing_steps_are_counted_and_said(read):
    days = [day for day in range(1, 31) if day not in (5, 6, 20)]
    found = read("date,x\n" + "".join(f"2024-01-{day:02},{day}\n" for day in days))
    assert said(found, "3 steps of 1 day are missing, the first after 2024-01-04") and numbers(found, "x") == days


def test_uneven_time_is_said_and_months_are_even(read):
    assert said(read("date,x\n2024-01-01,1\n2024-01-02,2\n2024-01-09,3\n2024-02-01,4\n"), "not evenly spaced")
    for days in (
        pd.date_range("2023-01-31", periods=14, freq="ME"),
        pd.date_range("2023-01-01", periods=14, freq="MS"),
    ):
        found = read("date,x\n" + "".join(f"{day.date()},1\n" for day in days))
        assert not said(found, "missing") and not said(found, "evenly")


def test_the_hour_that_stands_twice_when_clocks_are_set_back_is_kept_and_said(read):
    hours = [
        *pd.date_range("2024-10-26", periods=27, freq="h"),
        *pd.date_range("2024-10-27 02:00", periods=22, freq="h"),
    ]
    found = read("date,x\n" + "".join(f"{hour},{number}\n" for number, hour in enumerate(hours)))
    assert numbers(found, "x")[25:29] == [25, 26, 27, 28] and len(found.frame) == len(hours)
    assert said(found, "1 row is at a time that stands before (first: 2024-10-27 02:00:00): kept")


def test_rows_that_are_wholly_the_same_are_left_out_and_said(read):
    days = "".join(f"2024-01-{day:02},{day}\n" for day in range(1, 31))
    found = read(f"date,x\n{days}2024-01-30,30\n")
    assert numbers(found, "x") == list(range(1, 31)) and said(found, "1 row is the same as another")


def test_time_stamps_that_repeat_without_a_column_that_tells_why_are_asked(read, refused):
    content = "date,x\n" + "".join(f"2024-01-{day:02},{x}\n" for day in (1, 2, 3) for x in (0.25, 0.5))
    assert "2024-01-01" in refused(content) and "--series" in refused(content)
    assert numbers(read(content, series="none"), "x") == [0.25, 0.5] * 3


# Series


def long(names, column="station", days=4):
    """Two series in long format, interleaved: x is 10, 20, .. in the first and 11, 21, .. in the
    second.
    """
    rows = [(day, name, 10 * day + number) for day in range(1, days + 1) for number, name in enumerate(names)]
    return f"date,{column},x\n" + "".join(f"2024-01-{day:02},{name},{x}\n" for day, name, x in rows)


@pytest.mark.parametrize(("names", "column"), [(("A", "B"), "station"), ((101, 202), "store_id"), ((7, 9), "k")])
def test_two_series_in_long_format_are_two_series(read, names, column):
    found = read(long(names, column))
    assert found.series == column and found.numbers == ("x",) and said(found, f"'{column}' tells 2 apart: {names[0]}, ")
    sequences = found.sequences()
    assert sequences.names == tuple(map(str, names)) and sequences.lengths.tolist() == [4, 4]
    assert sequences.values[:, :, 0].tolist() == [[10, 20, 30, 40], [11, 21, 31, 41]]


def test_series_of_unequal_lengths_are_padded(read):
    found = read(long("AB") + "2024-01-05,A,50\n").sequences()
    assert found.lengths.tolist() == [5, 4] and found.values[:, :, 0].tolist() == [
        [10, 20, 30, 40, 50],
        [11, 21, 31, 41, 0],
    ]


def test_series_without_time_are_blocks_of_rows(read):
    content = "series,x\n" + "".join(f"{name},{x}\n" for name in (3, 1, 2) for x in range(4))
    assert read(content).sequences().names == ("3", "1", "2")
    assert read(content.replace("series", "dose")).series is None  # numbers are no names
    words = read("who,x\nann,1\nann,2\nbob,3\nbob,4\n")
    assert words.series == "who" and words.sequences().lengths.tolist() == [2, 2]
    assert read("weather,x\nsun,1\nrain,2\nsun,3\nrain,4\n").series is None


def test_a_series_can_be_named_or_denied(read, refused):
    content = "who,x\nann,1\nann,2\nbob,3\nbob,4\n"
    assert read(content, series="none").series is None
    shuffled = read("who,x\nann,1\nbob,3\nann,2\nbob,4\n", series="who").sequences()
    assert shuffled.values[:, :, 0].tolist() == [[1, 2], [3, 4]]
    assert "has no column 'whom' (did you mean 'who'?) for --series" in refused(content, series="whom")


def test_two_columns_that_may_tell_series_apart_are_asked(refused):
    content = long("AB").replace("station", "station,city").replace(",A,", ",A,Rome,").replace(",B,", ",B,Oslo,")
    assert "'station' or 'city' may tell series apart" in refused(content)


def test_gaps_are_those_of_a_series_and_not_of_the_file(read):
    found = read(long("AB", days=20).replace("2024-01-07,B,71\n", ""))
    assert said(found, "1 step of 1 day is missing, the first after 2024-01-06") and said(found, "(series B)")


# Encodings and kinds of files


def test_the_encoding_can_be_named_and_what_does_not_fit_is_named_by_line_and_byte(read, refused):
    content = "Straße,x\nGrüße,1\nÄpfel,2\n".encode("cp1252")
    assert "line 1, byte 5 is 0xdf" in refused(content) and "--encoding cp1252" in refused(content)
    found = read(content, encoding="cp1252")
    assert found.words == ("Straße",) and found.frame["Straße"].tolist() == ["Grüße", "Äpfel"] and said(found, "CP1252")
    assert "unknown encoding 'cp1252x'" in "".join(raised(lambda: read(content, encoding="cp1252x")))


def raised(call):
    with pytest.raises(CapaxError) as caught:
        call()
    yield str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding_and_no_column(read, encoding):
    assert read("größe,x\n1.5,2\n".encode(encoding)).numbers == ("größe", "x")


def test_line_ends_of_windows_are_no_part_of_cells(read):
    assert numbers(read(b"x,y\r\n1,2\r\n3,4\r\n"), "y") == [2, 4]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x89PNG\r\n\x1a\n", "is a PNG image, not a text file"),
        (b"PAR1....", "is a Parquet file"),
        (b"x,y\n1,2\0\n", "NUL bytes"),
    ],
)
def test_files_of_another_kind_are_called_what_they_are(refused, content, line):
    assert line in refused(content)


def test_parquet_keeps_types(tmp_path):
    path = tmp_path / "data.parquet"
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"),
            "x": [1.5, None, 3.0],
            "whole": pd.array([1, 2, None], dtype="Int64"),
            "flag": [True, False, True],
            "word": ["a", "b", None],
        }
    )
    frame.to_parquet(path)
    found = table.read(path)
    assert (found.time, found.numbers, found.words) == ("when", ("x", "whole", "flag"), ("word",))
    assert found.frame["when"].iloc[0] == pd.Timestamp("2023-12-31 23:00") and numbers(found, "flag") == [1, 0, 1]
    np.testing.assert_array_equal(found.frame[["x", "whole"]], [[1.5, 1], [np.nan, 2], [3, np.nan]])


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (pd.DataFrame({"x": [[1], [2]]}), "column 'x' has lists or bytes"),
        (pd.DataFrame({"x": [1.0, np.inf]}), "column 'x', row 2 is not finite"),
        (pd.DataFrame({"x": []}), "holds no row"),
    ],
)
def test_parquet_that_holds_no_series_is_one_line(tmp_path, frame, line):
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(CapaxError, match=line):
        table.read(tmp_path / "data.parquet")


def test_damaged_parquet_is_one_line(refused):
    assert "Parquet" in refused(b"PAR1 cut off", "data.parquet")


def test_a_long_table_is_read_by_column_and_not_by_cell(read):
    """A hundred thousand rows with every question asked: minutes where cells are looked at one by
    one.
    """
    x = np.random.default_rng(0).normal(size=100_000).round(4)
    found = read("t;x\n" + "".join(f"{t};{str(v).replace('.', ',')}\n" for t, v in enumerate(x)))
    np.testing.assert_array_equal(found.frame["x"], x)


# DataFrames


def test_a_frame_is_read_as_a_parquet_file_is_its_index_of_time_included():
    when = pd.date_range("2024-01-01", periods=4, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"x": ["1.5", "2", "n/a", "4"], "y": [1, 2, 3, 4]}, index=when)
    found = table.of_frame(frame)
    assert found.time == "time" and found.numbers == ("x", "y") and numbers(found, "x")[1] == 2
    assert found.frame["time"].iloc[0] == pd.Timestamp("2023-12-31 23:00")
    with pytest.raises(CapaxError, match="the table has no column 'z' for --time"):
        table.of_frame(frame, time="z")


def test_a_caller_with_a_grid_hears_of_order_and_not_of_gaps_and_doubles(read):
    content = "time,x\n2024-01-01 05:00,1\n2024-01-01 01:00,2\n2024-01-01 01:00,3\n2024-01-01 02:00,4\n" + "".join(
        f"2024-01-02 {hour:02}:00,{hour}\n" for hour in range(20)
    )
    plain, gridded = read(content), read(content, gridded=True)
    assert said(plain, "kept, in the order of the file") and said(plain, "rows are taken one after the other")
    assert not said(gridded, "kept, in the order of the file") and not said(gridded, "one after the other")
    assert said(gridded, "not in the order of time: sorted")
