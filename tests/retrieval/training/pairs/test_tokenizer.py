from pathlib import Path

import pytest
from transformers import AutoTokenizer

from retrieval.search.reranking.cross_modal import PAD
from retrieval.training.pairs.tokenizer import END, START, train_tokenizer

CAPTIONS = ["a red circle", "two red stars above a blue circle", "a blue star"] * 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(CAPTIONS, folder, vocabulary=300, context_length=12)
    return folder


def test_words_of_the_captions_are_single_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    start, *words, end = tokenizer("a red circle").input_ids
    assert (start, end) == (START, END)
    assert len(words) == 3


def test_case_does_not_matter(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("A Red CIRCLE").input_ids == tokenizer("a red circle").input_ids


@pytest.mark.parametrize("text", ["zebra", "Ωmega ☃", "日本語", "\x00\x07", ""])
def test_any_text_has_tokens_of_the_vocabulary(folder: Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1]) == (START, END)
    assert all(PAD < token < 300 for token in ids)
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.lower().strip()


def test_long_texts_are_cut_and_short_ones_padded(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    long, short = tokenizer(
        ["red " * 50, "red"], padding="max_length", truncation=True, max_length=12
    ).input_ids
    assert len(long) == len(short) == 12
    assert long[-1] == END
    assert short[3:] == [PAD] * 9
