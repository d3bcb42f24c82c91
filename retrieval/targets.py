"""Enumerations of the command line's choices; imports nothing, so that commands start quickly."""

from enum import StrEnum


class TextMode(StrEnum):
    """How a search uses the texts of items.

    `auto` uses vectors and, for text queries, words; `off` vectors alone; `only` words alone.
    """

    AUTO = "auto"
    OFF = "off"
    ONLY = "only"


class Target(StrEnum):
    """The type of results that a search returns.

    `image` and `video` select items of that modality, `music` selects the audio medium (recordings
    and the sound of videos), `moment` refines videos and recordings to spans.
    """

    IMAGE = "image"
    MUSIC = "music"
    VIDEO = "video"
    MOMENT = "moment"


class ExportLayout(StrEnum):
    """The layout of exported files."""

    CLIP_RETRIEVAL = "clip-retrieval"
    PARQUET = "parquet"
    NPY = "npy"
    FAISS = "faiss"
