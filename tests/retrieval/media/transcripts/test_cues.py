"""Cues of SRT, VTT and LRC, good and bad."""

import pysubs2
import pytest

from retrieval.media.transcripts.cues import clean_cue, parse_arrows, parse_lyrics

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello,
<i>world</i>

2
00:01:03,000 --> 00:01:04,000
{\\an8}Bye

"""


def srt(text: str):
    return parse_arrows(text.splitlines(keepends=True), is_vtt=False)


def vtt(text: str):
    return parse_arrows(text.splitlines(keepends=True), is_vtt=True)


def test_srt_gives_times_and_plain_texts() -> None:
    transcript = srt(SRT)
    assert transcript.cues == [(1.0, 2.5, "Hello, world"), (63.0, 64.0, "Bye")]
    assert transcript.problem is None


def test_srt_is_read_as_pysubs2_reads_it() -> None:
    text = "\n".join(
        f"{n}\n00:{n // 60:02}:{n % 60:02},{n:03} --> 00:{n // 60:02}:{n % 60:02},9{n % 100:02}\n"
        f"<b>line {n}</b>\nand another\n"
        for n in range(300)
    )
    expected = [
        (event.start / 1000, event.end / 1000, event.plaintext.replace("\n", " "))
        for event in pysubs2.SSAFile.from_string(text, "srt")
        if event.start < event.end
    ]
    cues = [cue for cue in srt(text).cues if cue[1] - cue[0] > 0.001]
    assert cues == expected


@pytest.mark.parametrize(
    ("text", "cues", "problem"),
    [
        (
            SRT.replace("00:01:03,000", "00:01:xx,000"),
            [(1.0, 2.5, "Hello, world")],
            "line 7: expected `00:00:01,000 --> 00:00:02,000`, "
            "found '00:01:xx,000 --> 00:01:04,000'",
        ),
        (
            SRT.replace("-->", "->", 1).replace("00:00:01,000", "0:1,000"),
            [(1.0, 2.5, "Hello, world"), (63.0, 64.0, "Bye")],
            None,
        ),
        (
            SRT.replace("00:01:04,000", "00:01:02,000"),
            [(1.0, 2.5, "Hello, world")],
            "line 7: a cue ends before it starts: '00:01:03,000 --> 00:01:02,000'",
        ),
        ("my film\n" + SRT, [(1.0, 2.5, "Hello, world"), (63.0, 64.0, "Bye")], "line 1: expected "),
        ("1\n2\n", [], "line 2: the file ends without a cue"),
        ("", [], None),
        ("1\n00:00:05,000 --> 00:00:05,000\nnow\n", [(5.0, 5.001, "now")], None),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:03,000 --> 00:00:04,000\nx", [(3, 4, "x")],
         None),
        ("1\n00:00:01,000 --> 00:00:02,000\n42\n\n42\n00:00:03,000 --> 00:00:04,000\nx",
         [(1, 2, "42"), (3, 4, "x")], None),
        ("1\n100:00:01,000 --> 100:00:02,000\nlate\n", [(360_001, 360_002, "late")], None),
    ],
)  # fmt: skip
def test_field_62_bad_srt_is_reported_with_its_line(
    text: str, cues: list, problem: str | None
) -> None:
    transcript = srt(text)
    assert transcript.cues == cues
    if problem is None:
        assert transcript.problem is None
    else:
        assert transcript.problem is not None
        assert transcript.problem.startswith(problem)


def test_field_62_unsorted_and_overlapping_cues_are_sorted_by_time() -> None:
    text = "".join(
        f"00:00:{start:02},000 --> 00:00:{end:02},000\n{start}\n\n"
        for start, end in ((9, 11), (1, 30), (5, 6), (1, 2))
    ).replace("\n9\n", "\nnine\n")
    assert [cue[:2] for cue in srt(text).cues] == [(1, 2), (1, 30), (5, 6), (9, 11)]


def test_vtt_has_notes_names_entities_and_a_language() -> None:
    transcript = vtt(
        "\ufeffWEBVTT - a film\nLanguage: pt-BR\n\nNOTE\n00:01.000 --> 00:02.000 is no cue\n\n"
        "STYLE\n::cue { color: red }\n\nintro\n00:01.000 --> 00:02.500 align:start line:0\n"
        "<v Bob>Fish &amp; <c.red>chips</c>\n\nsecond\n01:00:00.000 --> 01:00:01.000\nlater\n"
    )
    assert transcript.cues == [(1.0, 2.5, "Fish & chips"), (3600.0, 3601.0, "later")]
    assert (transcript.language, transcript.problem) == ("pt", None)


def test_field_62_right_to_left_texts_keep_their_marks_and_lose_control_characters() -> None:
    assert clean_cue("\u200fשלום\u200f\x00\x1b[31m עולם") == "\u200fשלום\u200f [31m עולם"
    assert clean_cue("مرحبا\u200cبالعالم") == "مرحبا\u200cبالعالم"
    assert clean_cue("a\u202eb\nc") == "a b c"


def test_lyrics_end_where_the_next_line_starts() -> None:
    transcript = parse_lyrics(
        ["[ti:Song]\n", "[la:en]\n", "[offset:+500]\n", "[00:12.00][01:15.00]Refrain\n",
         "[00:17.20]two <00:18.00>words\n", "[00:20]\n"]
    )  # fmt: skip
    assert transcript.cues == [
        (11.5, pytest.approx(16.7), "Refrain"),
        (pytest.approx(16.7), 19.5, "two words"),
        (74.5, 79.5, "Refrain"),
    ]
    assert (transcript.language, transcript.problem) == ("en", None)
    assert parse_lyrics(["la la la\n"]).problem == (
        "line 1: expected `[00:01.00] text`, found 'la la la'"
    )
