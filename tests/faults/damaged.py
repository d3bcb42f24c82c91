"""Damaged files of a collection, under the digests of before and under new ones."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faults.cases import Case
from faults.mutations import mutate, mutate_json, retype
from faults.toys import peak_megabytes
from indexes.errors import RetrievalError
from retrieval.collection import Collection
from retrieval.exchange.exporting import export
from retrieval.store.current import CurrentGeneration
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.targets import ExportLayout
from retrieval.types import Failure
from support.indexed_toys import ENCODER, built, grow, sixty_items

MEGABYTES = 1500.0
"""Peak memory of a process that opens damaged collections, its libraries included."""

Answer = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Used:
    """What a search found, and which uses were refused with which words."""

    answer: Answer
    refused: list[str]

    @property
    def said(self) -> str:
        """In two words."""
        return "refused in words" if self.refused else "answered"


def make_whole(root: Path) -> DamagedFile:
    """A collection with every kind of file: an approximate index, newer rows, frames, failures."""
    sixty_items(root)
    built(root, "IVF4,SQ8")
    grow(root, 60, 66)
    with CollectionWriter.open(root) as writer:
        writer.add_failure(Failure("/media/bad", "decode", "the file is empty", 0, 0.0))
        writer.remove([5])
    copy = root.with_name("used")
    shutil.copytree(root, copy)
    used = _answers(copy)
    assert used.answer
    assert not used.refused, used
    return DamagedFile(root, used.answer)


def files_of(root: Path) -> list[str]:
    """What can be damaged: every listed file, the manifest and CURRENT, by path."""
    current = Snapshot.open(root).manifest
    return [f"manifests/{current.generation:06d}.json", "CURRENT"] + [
        file.path for file in current.files
    ]


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """Runs the cases on copies of a whole collection; every second one has new digests."""

    whole: Path
    answer: Answer

    def __call__(self, case: Case) -> str:
        """Damage one file, then use the collection in every way."""
        chance = case.chance()
        root = self.whole.parent / f"damaged-{case.number}"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.whole, root)
        generation = Snapshot.open(root).manifest.generation
        name = chance.choice(files_of(root))
        path = root / name
        content = path.read_bytes()
        is_json = name.endswith(".json")
        damage, how = mutate(content, chance)
        if is_json and chance.random() < 0.7:
            damage, how = mutate_json(content, chance), "edit JSON"
        if name.endswith((".parquet", ".arrow")) and chance.random() < 0.25:
            damage, how = retype(content, chance, parquet=name.endswith("t")), "retype"
        path.write_bytes(damage)
        renewed = case.number % 2 == 1 and name != "CURRENT"
        if renewed:
            _renew(root, generation, name)
        kind = name.partition("/")[0]
        try:
            if damage == content:
                outcome = "nothing changed"
            elif renewed:
                outcome = f"{kind} under new digests: {_answers(root).said}"
            else:
                outcome = f"{kind} under old digests: {self._found(root, name, content, damage)}"
        except Exception as error:
            error.add_note(f"{name}: {how}")
            raise
        peak = peak_megabytes(resource.RUSAGE_SELF)
        assert peak < MEGABYTES, f"{name}, {how}: {peak:.0f} MB of memory"
        shutil.rmtree(root)
        return outcome

    def _found(self, root: Path, name: str, content: bytes, damage: bytes) -> str:
        """Expect what was promised of damage that no new digest hides."""
        problems = Collection(root).verify()
        assert problems, "verify finds nothing"
        assert any(os.path.basename(name) in problem for problem in problems), problems
        sized = len(damage) == len(content) and name != "CURRENT" and "manifests" not in name
        try:
            Snapshot.open(root)
        except RetrievalError as error:
            _check_words(error, os.path.basename(name))
            return "refused at opening"
        assert sized, "opened although its size or its digest is another"
        used = _answers(root)
        if used.said == "answered" and used.answer != self.answer:
            return "found by verify; until then another answer"
        return f"found by verify; until then {used.said}"


def _renew(root: Path, generation: int, name: str) -> None:
    """Write a file's new size and digest into the manifest, and the manifest's into CURRENT."""
    path = root / f"manifests/{generation:06d}.json"
    if name != str(path.relative_to(root)):
        raw = json.loads(path.read_bytes())
        (entry,) = [file for file in raw["files"] if file["path"] == name]
        content = (root / name).read_bytes()
        entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        path.write_text(json.dumps(raw))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "CURRENT").write_bytes(CurrentGeneration(generation, digest).to_bytes())


def _answers(root: Path) -> Used:
    """Use a collection in every way; each use works or says in an error of ours why not."""
    refused: list[str] = []
    answer: Answer = []

    def use(work: Callable[[], object]) -> None:
        try:
            work()
        except RetrievalError as error:
            _check_words(error, "")
            refused.append(str(error))

    use(lambda: Snapshot.open(root).user_columns())
    use(lambda: Collection.open(root).status())
    use(lambda: answer.extend(_search(root, None)))
    use(lambda: _search(root, "number > 20"))
    use(lambda: _opened(root).search("red", to=["moment"], k=3))
    use(lambda: _opened(root).duplicates())
    use(lambda: Collection(root).verify())
    out = root.with_suffix(".out")
    use(lambda: export(Snapshot.open(root), out, ExportLayout.PARQUET))
    shutil.rmtree(out, ignore_errors=True)
    use(lambda: _opened(root).remove(ids=[7]))
    use(lambda: _opened(root).compact())
    use(lambda: built(root))
    use(lambda: _search(root, None))
    return Used(answer, refused)


def _check_words(error: RetrievalError, name: str) -> None:
    """Expect a message of a reasonable length that names the file."""
    assert name in str(error), error
    assert 0 < len(str(error).strip()) < 2_000, f"a message of {len(str(error))} characters"


def _opened(root: Path) -> Collection:
    collection = Collection.open(root, device="cpu")
    for space in collection.snapshot.spaces:
        collection._encoders[space.name] = ENCODER
    return collection


def _search(root: Path, where: str | None) -> Answer:
    """Search, and expect hits that can be shown."""
    hits = _opened(root).search("red", to=["image", "video"], k=5, where=where)
    assert len({hit.item_id for hit in hits}) == len(hits), "an item twice"
    for hit in hits:
        assert hit.item_id >= 0, "an id below zero"
        assert np.isfinite(hit.score), f"a score of {hit.score}"
    return [(hit.item_id, hit.score) for hit in hits]
