"""Toy models in place of all others, a small world of media for them, and commands run on it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

import cli.main
from retrieval.collection import Collection
from retrieval.encoders import catalogue
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from support.media_files import make_picture, make_tone, picture_bytes, sound_bytes, write_video
from support.toy_encoder import ToyEncoder

TOYS = {toy.spec: toy for toy in (ToyEncoder(), ToyEncoder.music())}
MODELS = [argument for spec in TOYS for argument in ("--model", spec)]


def use_toys() -> None:
    """Let every command of this process find the toys, by the names in `TOYS`."""
    loads, resolves = catalogue.load_encoder, catalogue.resolve
    for module in list(sys.modules.values()):
        if getattr(module, "load_encoder", None) is loads:
            module.load_encoder = lambda spec, **_: TOYS[spec]  # type: ignore[attr-defined]
        if getattr(module, "resolve", None) is resolves:
            module.resolve = lambda model: (model,)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command said, and its exit code."""

    code: int
    stdout: str
    stderr: str

    def check(self) -> Outcome:
        """Expect no traceback, and of a refusal one line that says why."""
        assert "Traceback" not in self.stderr, self.stderr[-2000:]
        assert self.code in (0, 1, 2), (self.code, self.stderr[-2000:])
        if self.code == 2:
            assert self.stderr.strip(), "refused without a word"
        return self


def run_command(*arguments: object) -> Outcome:
    """Run a command line as `retrieval` does, in this process and with the toys.

    Raises:
        Exception: Whatever would reach the user as a traceback.
    """
    use_toys()
    out, error = io.StringIO(), io.StringIO()
    words = ["retrieval", *map(str, arguments)]
    code = 0
    with (
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        try:
            cli.main.main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return Outcome(code, out.getvalue(), error.getvalue())


def opened(root: Path) -> Collection:
    """A collection that searches with the toys."""
    use_toys()
    return Collection.open(root, device="cpu")


def write_media(folder: Path, pictures: int = 8, sounds: int = 2, videos: int = 2) -> Path:
    """Pictures of one colour each with captions, tones, and videos with sound."""
    folder.mkdir(parents=True)
    for number in range(pictures):
        picture = make_picture(40 + number, 30, seed=number)
        picture.save(folder / f"p{number:02}.png")
        (folder / f"p{number:02}.txt").write_text(f"picture {number}")
    for number in range(sounds):
        tone = make_tone(3.0 + number, 8000, 110.0 * 4**number)
        (folder / f"s{number}.wav").write_bytes(sound_bytes(tone, 8000))
    for number in range(videos):
        levels = [60 * number + (each // 10) * 60 for each in range(30)]
        write_video(folder / f"v{number}.mp4", levels, sound=make_tone(3.0))
    (folder / "odd name.jpg").write_bytes(picture_bytes(seed=99))
    return folder


def content(root: Path) -> str:
    """A digest of everything that a reader gets of a collection, ids and order aside."""
    snapshot = Snapshot.open(root)
    uris = {file.item_id: uri for uri, file in snapshot.known_files().items()}
    rows: list[str] = []
    for batch in snapshot.iter_items():
        for row in batch.to_pylist():
            del row["item_id"]
            rows.append(repr(sorted(row.items())))
    for batch in snapshot.texts():
        texts = batch.to_pylist()
        rows += [f"{uris[text.pop('item_id')]} {sorted(text.items())}" for text in texts]
    rows += [f"{uris[item_id]} {files}" for item_id, files in snapshot.sidecars().items()]
    for space in snapshot.spaces:
        for block in snapshot.iter_segments(space.name):
            rows += (
                f"{uris[int(item_id)]} {medium} {start} {end} {vector.tobytes().hex()}"
                for item_id, medium, start, end, vector in zip(
                    block.item_ids, block.media, block.start_seconds, block.end_seconds,
                    block.vectors, strict=True,
                )
            )  # fmt: skip
        for item_id, uri in uris.items():
            frames = snapshot.item_frames(space.name, item_id)
            if frames is not None:
                rows.append(f"{uri} {frames.seconds.tolist()} {frames.vectors.tobytes().hex()}")
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def is_whole(root: Path) -> None:
    """Expect a collection without a damaged file, or a folder in which none was published yet."""
    if (root / "CURRENT").exists():
        assert verify(root) == []


def check_hits(root: Path, query: str = "red", k: int = 5) -> int:
    """Compare an answer with brute force over the generation that it came from.

    Returns:
        The generation.
    """
    collection = opened(root)
    snapshot = collection.snapshot
    found = collection.search(query, to=["image"], k=k)
    space = snapshot.spaces[0]
    wanted = TOYS[space.encoder].encode_text([query])[0]
    uris = {file.item_id: uri for uri, file in snapshot.known_files().items()}
    scores = {
        uris[int(item_id)]: float(vector.astype(np.float32) @ wanted)
        for block in snapshot.iter_segments(space.name)
        for item_id, medium, vector in zip(block.item_ids, block.media, block.vectors, strict=True)
        if medium == 0
    }
    best = sorted(scores.values(), reverse=True)[:k]
    np.testing.assert_allclose([hit.score for hit in found], best, atol=2e-3)
    np.testing.assert_allclose([scores[hit.uri] for hit in found], best, atol=2e-3)
    assert len({hit.uri for hit in found}) == len(best)
    return snapshot.manifest.generation


def peak_megabytes(who: int) -> float:
    """Peak memory of this process or of its children, as `resource` names them."""
    return resource.getrusage(who).ru_maxrss / 1024
