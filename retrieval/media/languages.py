"""Codes of languages in the names of files, in containers and in transcripts."""

from __future__ import annotations

import re

_TWO_LETTERS = {
    "afr": "af", "alb": "sq", "sqi": "sq", "ara": "ar", "arm": "hy", "hye": "hy", "aze": "az",
    "baq": "eu", "eus": "eu", "bel": "be", "ben": "bn", "bos": "bs", "bul": "bg", "bur": "my",
    "mya": "my", "cat": "ca", "chi": "zh", "zho": "zh", "cze": "cs", "ces": "cs", "dan": "da",
    "dut": "nl", "nld": "nl", "eng": "en", "epo": "eo", "est": "et", "fil": "tl", "fin": "fi",
    "fre": "fr", "fra": "fr", "geo": "ka", "kat": "ka", "ger": "de", "deu": "de", "gle": "ga",
    "glg": "gl", "gre": "el", "ell": "el", "guj": "gu", "heb": "he", "hin": "hi", "hrv": "hr",
    "hun": "hu", "ice": "is", "isl": "is", "ind": "id", "ita": "it", "jpn": "ja", "kan": "kn",
    "kaz": "kk", "khm": "km", "kor": "ko", "lao": "lo", "lat": "la", "lav": "lv", "lit": "lt",
    "mac": "mk", "mkd": "mk", "mal": "ml", "mar": "mr", "may": "ms", "msa": "ms", "mon": "mn",
    "nep": "ne", "nor": "no", "nob": "nb", "nno": "nn", "per": "fa", "fas": "fa", "pol": "pl",
    "por": "pt", "rum": "ro", "ron": "ro", "rus": "ru", "sin": "si", "slo": "sk", "slk": "sk",
    "slv": "sl", "spa": "es", "srp": "sr", "swa": "sw", "swe": "sv", "tam": "ta", "tel": "te",
    "tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur", "uzb": "uz", "vie": "vi", "wel": "cy",
    "cym": "cy", "yid": "yi", "zul": "zu",
}  # fmt: skip
"""ISO 639-1 codes by the codes of ISO 639-2."""

_KNOWN = frozenset(_TWO_LETTERS.values())


def language_code(text: object) -> str | None:
    """Return the ISO 639-1 code of a tag such as `eng`, `de` or `pt-BR`; None if it is unknown."""
    if not isinstance(text, str):
        return None
    match = re.fullmatch(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{2,8})*", text.strip())
    if match is None:
        return None
    code = match[1].lower()
    code = _TWO_LETTERS.get(code, code)
    return code if code in _KNOWN else None
