"""Lists as spreadsheets, other systems and other people write them."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.media.lists.encodings import find_encoding
from retrieval.media.lists.rows import ListedRow, read_files, read_rows
from retrieval.media.sources.find import find_sources
from support.media_lists import read_list

GERMAN = "path,caption\nBär.jpg,Ein schöner Bär überquert die Straße\nb.jpg,Mädchen\n"
RUSSIAN = "path,caption\nа.jpg,Кошка сидит на окне и смотрит на улицу\nб.jpg,Собака бежит\n"


def listed(path: Path, **options: Any) -> tuple[list[ListedRow], list[str]]:
    notices = Notices()
    rows = list(read_list(str(path), notices=notices, **options))
    return rows, notices.lines()


def columns(path: Path, name: str) -> tuple[list[object], list[str]]:
    rows, notices = listed(path)
    return [row.columns[name] for row in rows], notices


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("fields", "values", "notice"),
    [
        (["1", "2", "1.5"], [1.0, 2.0, 1.5], ""),
        (["9007199254740991", "0.5"], [2.0**53 - 1, 0.5], ""),
        (
            ["9007199254740992", "0.5"],
            ["9007199254740992", "0.5"],
            "2^53 or more together with decimals",
        ),
        (["0.5", "-9007199254740993"], ["0.5", "-9007199254740993"], "together with decimals"),
        (["1593901234567890450", "1"], [1593901234567890450, 1], ""),
        (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)], ""),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"], "integers beyond 64 bits"),
        (["1593901234567890450.5", "1"], ["1593901234567890450.5", "1"], "more digits than a doub"),
        (["0.12345678901234567890", "1"], [0.12345678901234568, 1.0], "the nearest doubles"),
        (["true", "1"], ["true", "1"], ""),
        (["2020-01-02", ""], [date(2020, 1, 2), None], ""),
        (["2020-01-02", "2020-13-02"], ["2020-01-02", "2020-13-02"], ""),
        (
            ["2020-01-02", "2020-01-02T03:04:05+02:00"],
            ["2020-01-02T00:00Z", "2020-01-02T01:04:05Z"],
            "",
        ),
        (["2020-01-02 03:04:05.000001"], ["2020-01-02T03:04:05.000001Z"], ""),
        (["0.5", "nan"], [0.5, None], ""),
        (["1e999", "2"], ["1e999", "2"], ""),
        (["007", "1"], ["007", "1"], ""),
        (["1", "-."], ["1", "-."], ""),
        (["0.5", ".e5", ".5e1"], ["0.5", ".e5", ".5e1"], ""),
        ([".5", "5.", "-.25e1"], [0.5, 5.0, -2.5], ""),
        ([*["1"] * 2_000, "x"], [*["1"] * 2_000, "x"], ""),
        ([*["1"] * 2_000, "0.5", ""], [*[1.0] * 2_000, 0.5, None], ""),
        (
            [*["0.5"] * 2_000, str(2**53)],
            [*["0.5"] * 2_000, str(2**53)],
            "integers of 2^53 or more together with decimals",
        ),
    ],
)
def test_field_49_a_csv_column_never_loses_a_digit(
    tmp_path: Path, fields: list[str], values: list[object], notice: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,a\n" + "".join(f"{n}.jpg,{f}\n" for n, f in enumerate(fields)))
    found, notices = columns(path, "a")
    if isinstance(found[0], datetime):
        values = [datetime.fromisoformat(str(value)) for value in values]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert [notice in line for line in notices] == ([True] if notice else [])
    assert all("column 'a'" in line for line in notices)


def test_field_49_json_numbers_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    numbers = ["1593901234567890451", str(2**64), "0.1", "1593901234567890451.25", "NaN", "1e999"]
    path.write_text("".join(f'{{"path": "{n}.jpg", "a": {t}}}\n' for n, t in enumerate(numbers)))
    found, notices = columns(path, "a")
    assert found == [
        1593901234567890451, str(2**64), 0.1, "1593901234567890451.25", None, None
    ]  # fmt: skip
    assert [line.partition(": ")[2] for line in notices] == [
        "column 'a' is an integer beyond 64 bits; stored as text",
        "column 'a' is a decimal with more digits than a double; stored as text",
        "column 'a' is infinite; stored as null",
    ]
    assert [line.partition(":")[0].rpartition(", ")[2] for line in notices] == [
        "row 2",
        "row 4",
        "row 6",
    ]


def test_field_25_parquet_times_and_decimals_are_typed(tmp_path: Path) -> None:
    from decimal import Decimal

    table = {
        "path": ["a.jpg"],
        "price": [Decimal("10.40")],
        "taken": pa.array([1_500_000_000_000_000_000], pa.timestamp("ns")),
        "day": [date(2020, 1, 2)],
        "thumb": [b"\xff"],
    }
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    ((row,), notices) = listed(tmp_path / "list.parquet")
    assert row.columns == {
        "price": 10.4,
        "taken": datetime(2017, 7, 14, 2, 40, tzinfo=UTC),
        "day": date(2020, 1, 2),
    }
    assert notices == [f"{tmp_path}/list.parquet: column 'thumb' is binary; left out"]


# ---------------------------------------------------------------- encodings and delimiters


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (GERMAN, "latin-1", "cp1252"),
        (GERMAN, "utf-8-sig", "utf-8-sig"),
        (GERMAN, "utf-16", "utf-16"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-16-be", "utf-16-be"),
        (RUSSIAN, "cp1251", "cp1251"),
        ("path,caption\na.jpg,“quoted” – 5 €\n", "cp1252", "cp1252"),
    ],
)
def test_field_38_a_list_is_read_in_its_encoding(
    tmp_path: Path, text: str, encoding: str, found: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(encoding))
    assert find_encoding(str(path)).name == found
    rows, notices = listed(path)
    expected = [line.split(",", 1) for line in text.splitlines()[1:]]
    captions = [row.caption for row in rows]
    assert captions == [caption for _, caption in expected]
    assert len(notices) == (found.startswith("cp"))


POLISH = "Dziewczyna idzie przez łąkę\nŻółty samochód\nGóry i jezioro zimą\nPies na śniegu"
CZECH = "Dívka běží přes louku\nŽluté auto\nPříliš žluťoučký kůň\nMěsto v noci"
GREEK = "Ένα κορίτσι τρέχει\nΚόκκινο αυτοκίνητο\nΗ γάτα στο παράθυρο"
UKRAINIAN = "Дівчина їде на велосипеді\nКиїв узимку\nЧервоний автомобіль"
JAPANESE = "公園で遊ぶ女の子\n赤い車と家\nカメラを持つ男性"
CHINESE = "一个女孩在公园里跑步\n红色的汽车\n山和湖的照片"
TAIWANESE = "一個女孩在公園裡跑步\n紅色的汽車\n山和湖的照片"
KOREAN = "소녀가 공원에서 달린다\n빨간 자동차\n산과 호수 사진"
HEBREW = "ילדה רצה בפארק\nמכונית אדומה\nחתול על החלון"
ARABIC = "فتاة تركض في الحديقة\nسيارة حمراء\nقطة على النافذة"
TURKISH = (
    "Kız çimlerde koşuyor\nKırmızı araba\nŞehir ışıkları\nGöl ve dağlar\nÇocuk öğle yemeği yiyor"
)
FRENCH = "Une fillette près de la fenêtre\nLes élèves à l'école\nForêt en été"


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        (GERMAN, "cp1252 mac_roman cp850"),
        (FRENCH, "cp1252 mac_roman cp850"),
        (RUSSIAN, "cp1251 koi8_r iso8859_5 cp866"),
        (UKRAINIAN, "cp1251 koi8_u"),
        (POLISH, "cp1250 iso8859_2"),
        (CZECH, "cp1250 iso8859_2"),
        (GREEK, "cp1253"),
        (TURKISH, "cp1254"),
        (HEBREW, "cp1255"),
        (ARABIC, "cp1256"),
        (JAPANESE, "shift_jis euc_jp iso2022_jp"),
        (CHINESE, "gb18030"),
        (TAIWANESE, "big5"),
        (KOREAN, "euc_kr"),
    ],
)
def test_field_38_common_encodings_are_detected_and_named(
    tmp_path: Path, text: str, encodings: str
) -> None:
    unicode = "utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be"
    captions = [line.rpartition(",")[2] for line in text.splitlines() if line != "path,caption"]
    content = "path,caption\n" + "".join(f"{n}.jpg,{c}\n" for n, c in enumerate(captions))
    path = tmp_path / "list.csv"
    for encoding in f"{unicode} {encodings}".split():
        path.write_bytes(content.encode(encoding))
        rows, notices = listed(path)
        assert [row.caption for row in rows] == captions, encoding
        name = find_encoding(str(path)).name
        is_certain = encoding in unicode or encoding == "iso2022_jp"
        assert notices == [] if is_certain else f"not UTF-8; read as {name}, as" in notices[0]


@pytest.mark.parametrize(
    ("letters", "encoding"),
    [
        ("für", "mac_roman"),
        ("für", "cp1252"),
        ("für", "cp850"),
        ("łąka", "iso8859_2"),
        ("ль", "koi8_r"),
    ],
)
def test_field_38_few_letters_are_read_with_a_notice(
    tmp_path: Path, letters: str, encoding: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(f"path,caption\na.jpg,{letters}\n".encode(encoding))
    _, (notice,) = listed(path)
    assert f"read as {find_encoding(str(path)).name}, as its letters suggest; save it" in notice


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac_roman"])
def test_field_38_captions_beside_files_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.txt").write_bytes("Mädchen läuft".encode(encoding))
    (source,) = find_sources([str(tmp_path)])
    assert source.caption == "Mädchen läuft"


def test_field_38_names_in_the_encoding_of_the_list_or_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(GERMAN.encode("latin-1"))
    (tmp_path / "Bär.jpg").write_bytes(b"x")
    assert next(find_sources([str(tmp_path / "list.csv")])).path.endswith("/Bär.jpg")
    (tmp_path / "Bär.jpg").unlink()
    (tmp_path / "B\udce4r.jpg").write_bytes(b"x")
    assert next(find_sources([str(tmp_path / "list.csv")])).path.endswith("B\udce4r.jpg")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "shift_jis"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_field_38_a_list_that_ends_inside_a_letter_keeps_its_rows(
    tmp_path: Path, encoding: str, kind: str
) -> None:
    lines = {
        "csv": ["path,caption", *(f"{n}.jpg,日本語のねこ {n}" for n in range(9))],
        "jsonl": [
            json.dumps({"path": f"{n}.jpg", "caption": "日本語のねこ"}, ensure_ascii=False)
            for n in range(9)
        ],
    }[kind]
    path = tmp_path / f"list.{kind}"
    path.write_bytes("\n".join([*lines, "日本"]).encode(encoding)[:-1])
    rows = [row.path for _, row in read_rows(str(path)) if isinstance(row, ListedRow)]
    assert rows[:9] == [f"{n}.jpg" for n in range(9)]


def test_field_38_jsonl_in_other_encodings(tmp_path: Path) -> None:
    line = json.dumps({"path": "a.jpg", "caption": "über"}, ensure_ascii=False)
    for encoding in ("utf-16", "latin-1", "utf-8-sig"):
        (tmp_path / "list.jsonl").write_bytes(line.encode(encoding))
        assert listed(tmp_path / "list.jsonl")[0][0].caption == "über"


@pytest.mark.parametrize(
    "text",
    [
        "path;caption;n\na.jpg;one, two;1\n",
        "sep=;\npath;caption;n\na.jpg;one, two;1\n",
        "path\tcaption\tn\na.jpg\tone, two\t1\n",
        "path|caption|n\na.jpg|one, two|1\n",
        'Path, Caption, n\na.jpg, "one, two", 1\n',
        'path,caption,n\na.jpg,"one, two",1\n',
    ],
)
@pytest.mark.parametrize("extension", ["csv", "tsv"])
def test_field_38_delimiters_and_spaces(tmp_path: Path, text: str, extension: str) -> None:
    path = tmp_path / f"list.{extension}"
    path.write_text(text)
    assert listed(path) == ([ListedRow("a.jpg", "one, two", {"n": 1})], [])


def test_field_38_headers_with_gaps_and_repetitions(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(",path,note,note\n0,a.jpg,x,y\n")
    rows, notices = listed(tmp_path / "list.csv")
    assert rows == [ListedRow("a.jpg", None, {"column_1": 0, "note": "x", "note_2": "y"})]
    assert ["column 1 without a name" in notices[0], "a second column 'note'" in notices[1]] == [
        True,
        True,
    ]


def test_field_38_a_missing_header_is_one_line_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("x.jpg,a dog\n" * 1_000)
    with pytest.raises(SourceError, match="if the first row is a file already, add a header") as e:
        list(read_rows(str(tmp_path / "list.csv")))
    assert len(str(e.value)) < 500
    (tmp_path / "list.csv").write_text("path,caption\n" + "x.jpg,a dog\n")
    assert len(list(read_rows(str(tmp_path / "list.csv")))) == 1


# ---------------------------------------------------------------- captions


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        (["a dog", " a lawn ", None, "a dog"], "a dog\na lawn"),
        ('["a dog", "a lawn"]', "a dog\na lawn"),
        ("['a dog', 'a lawn']", "a dog\na lawn"),
        ("[music] plays", "[music] plays"),
        ("[1, 2]", "[1, 2]"),
        ([], ""),
        (7, "7"),
    ],
)
def test_field_38_captions_as_lists_are_kept(
    tmp_path: Path, caption: object, kept: str | None
) -> None:
    (tmp_path / "list.jsonl").write_text(json.dumps({"path": "a.jpg", "caption": caption}))
    ((row,), _) = listed(tmp_path / "list.jsonl")
    assert row.caption == kept


def test_field_38_several_rows_of_one_file_keep_all_captions(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "path,caption,n\na.jpg,one,1\nb.jpg,other,2\n./a.jpg,two,1\na.jpg,one,1\na.jpg,three,9\n"
    )
    rows, notices = listed(path)
    assert rows == [
        ListedRow("a.jpg", "one\ntwo\nthree", {"n": 1}),
        ListedRow("b.jpg", "other", {"n": 2}),
    ]
    assert notices == [
        f"{path}, row 5: a file is listed again with other columns; those of its first row are "
        "stored"
    ]
    sources = list(find_sources([str(path)]))
    assert [source.caption for source in sources] == ["one\ntwo\nthree", "other"]


def test_field_38_the_captions_file_keeps_all_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    lines = [{"file": "a.jpg", "caption": "one"}, {"file": "./a.jpg", "caption": ["two", "one"]}]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (source,) = find_sources([str(tmp_path / "a.jpg")])
    assert source.caption == "one\ntwo"


# ---------------------------------------------------------------- addresses


def test_field_40_addresses_in_lists(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    names = ["file:///data/with%20space%23.jpg", "http://x.y/a.jpg", "FILE:///b.jpg", "HTTPS://x/y"]
    path.write_text("path\n" + "\n".join(names) + "\nc:d.jpg\n")
    rows = [row for _, row in read_files(str(path))]
    assert [row.path for row in rows if isinstance(row, ListedRow)] == [
        "/data/with space#.jpg",
        "/b.jpg",
        "c:d.jpg",
    ]
    errors = [str(row) for row in rows if isinstance(row, SourceError)]
    assert ["row 2" in errors[0], "row 4" in errors[1]] == [True, True]
    assert all("download it first and list the file" in error for error in errors)
