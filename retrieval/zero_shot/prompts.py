"""Reads labels and prompt templates.

Captions seldom consist of a class name alone, so CLIP (2103.00020, section 3.1.4) embeds each label
in several sentences.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

from retrieval.errors import QueryError, short_repr
from retrieval.files.reading import read_text
from retrieval.types import Medium

TEMPLATES: Final[dict[Medium, tuple[str, ...]]] = {
    Medium.IMAGE: (
        "{}", "a {}", "a photo of a {}", "a picture of a {}", "an image of a {}", "there is a {}",
    ),
    Medium.AUDIO: (
        "{}", "the sound of {}", "the sound of a {}", "a recording of {}", "{} can be heard",
        "a piece of music with {}",
    ),
    Medium.VIDEO: (
        "{}", "a {}", "a video of a {}", "a clip that shows a {}", "a scene with a {}",
    ),
}  # fmt: skip
"""The built-in sentences by medium; `{}` is the label."""

MAX_FILE_BYTES: Final = 16 << 20


def read_labels(source: str) -> tuple[str, ...]:
    """Read labels from a file with one per line, or from a comma-separated list.

    Args:
        source: A path, or `dog bark, rain, sea waves`; blank labels are skipped.

    Raises:
        QueryError: There are fewer than two labels, or one occurs twice.
    """
    parts = _lines(source) if os.path.isfile(source) else source.split(",")
    labels = tuple(part.strip() for part in parts if part.strip())
    if len(labels) < 2:
        raise QueryError(
            f"labels {short_repr(source)}: {len(labels)} labels, at least 2 are needed; give a "
            "comma-separated list, or an existing file with one label per line"
        )
    label, times = Counter(labels).most_common(1)[0]
    if times > 1:
        raise QueryError(
            f"labels {short_repr(source)}: {short_repr(label)} occurs {times} times; name it once"
        )
    return labels


def read_templates(sources: Sequence[str]) -> dict[Medium, tuple[str, ...]]:
    """Return the given templates for every medium, or the built-in ones if there are none.

    Args:
        sources: Sentences with `{}` in the label's place, and files with one per line.

    Raises:
        QueryError: A sentence has no `{}` and is not a file.
    """
    lines: list[str] = []
    for source in sources:
        lines += _lines(source) if "{}" not in source and os.path.isfile(source) else [source]
    templates = tuple(line.strip() for line in lines if line.strip())
    for template in templates:
        if "{}" not in template:
            raise QueryError(
                f"the template {short_repr(template)} has no {{}} for the label, and is not a file "
                "of templates; write one such as 'a drawing of a {}'"
            )
    return dict.fromkeys(Medium, templates) if templates else TEMPLATES


def fill_templates(templates: Sequence[str], label: str) -> list[str]:
    """Return the sentences about one label."""
    return [template.replace("{}", label) for template in templates]


def _lines(path: str) -> list[str]:
    try:
        if os.path.getsize(path) > MAX_FILE_BYTES:
            raise QueryError(
                f"{path}: more than {MAX_FILE_BYTES >> 20} MiB; expected a list of lines"
            )
        return read_text(path, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path}: cannot be read as lines of UTF-8 ({error})") from error
