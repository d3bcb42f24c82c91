from retrieval.encoders.tokens import MAX_CHARACTERS, clean_texts, tokenizer_digest


def test_texts_are_cut_and_lone_surrogates_replaced() -> None:
    assert clean_texts(["café 🙂", "", "a\ud800b"]) == ["café 🙂", "", "a?b"]
    assert clean_texts(["x" * 100_000]) == ["x" * MAX_CHARACTERS]


def test_digest_tells_tokenizers_apart() -> None:
    digest = tokenizer_digest({"a": 0, "b": 1}, [0, 1])
    assert digest == tokenizer_digest({"b": 1, "a": 0}, [0, 1])
    assert digest != tokenizer_digest({"a": 1, "b": 0}, [0, 1])
    assert digest != tokenizer_digest({"a": 0, "b": 1}, [1, 0])
