"""What commands may be asked for; imports nothing, so that the command line stays quick."""

from enum import StrEnum


class Target(StrEnum):
    """Kinds of answer: `--to image|music|video|moment`.

    image and video choose items of that modality, music the audio medium (recordings and the
    sound of videos), moment refines videos and recordings to spans.
    """

    IMAGE = "image"
    MUSIC = "music"
    VIDEO = "video"
    MOMENT = "moment"


class ExportLayout(StrEnum):
    """What `export --to` writes."""

    CLIP_RETRIEVAL = "clip-retrieval"
    PARQUET = "parquet"
    NPY = "npy"
    FAISS = "faiss"
