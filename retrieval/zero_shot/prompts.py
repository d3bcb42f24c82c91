"""Labels and the sentences they are put into: a class name alone is seldom what captions say.

CLIP (2103.00020, section 3.1.4) embeds each label inside several sentences and averages them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

from retrieval.errors import QueryError
from retrieval.files.reading import read_text
from retrieval.types import Medium
from retrieval.wording import shortened

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
"""The built-in sentences by what is looked at or listened to; `{}` is the label."""

LONGEST_FILE: Final = 16 << 20


def read_labels(given: str) -> tuple[str, ...]:
    """Read labels from a file with one on each line, or from a list with commas.

    Args:
        given: A path, or `dog bark, rain, sea waves`; blank ones are passed over.

    Raises:
        QueryError: Fewer than two labels, or one that comes twice.
    """
    found = _lines(given) if os.path.isfile(given) else given.split(",")
    labels = tuple(label.strip() for label in found if label.strip())
    if len(labels) < 2:
        raise QueryError(
            f"--labels {shortened(given)}: {len(labels)} labels, at least 2 are needed to choose "
            "from; give a list with commas, or a file that exists with one on each line"
        )
    label, times = Counter(labels).most_common(1)[0]
    if times > 1:
        raise QueryError(
            f"--labels {shortened(given)}: {shortened(label)} comes {times} times; name it once"
        )
    return labels


def read_templates(given: Sequence[str]) -> dict[Medium, tuple[str, ...]]:
    """The sentences to use: the built-in ones, or one's own for every medium.

    Args:
        given: Sentences with `{}` where the label goes, and files with one on each line.

    Raises:
        QueryError: A sentence has no `{}`, and is no file either.
    """
    own: list[str] = []
    for text in given:
        own += _lines(text) if "{}" not in text and os.path.isfile(text) else [text]
    own = [text.strip() for text in own if text.strip()]
    for text in own:
        if "{}" not in text:
            raise QueryError(
                f"the template {shortened(text)} has no {{}} for the label, and is no file of "
                "templates; write one such as 'a drawing of a {}'"
            )
    return dict.fromkeys(Medium, tuple(own)) if own else TEMPLATES


def filled(templates: Sequence[str], label: str) -> list[str]:
    """The sentences about one label."""
    return [template.replace("{}", label) for template in templates]


def _lines(path: str) -> list[str]:
    try:
        if os.path.getsize(path) > LONGEST_FILE:
            raise QueryError(
                f"{path}: more than {LONGEST_FILE >> 20} MiB; expected a list of lines"
            )
        return read_text(path, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path}: cannot be read as lines of UTF-8 ({error})") from error
