"""New generations are picked up without a failed request; vanished ones do not end the server."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.errors import CollectionDamagedError, QueryError
from retrieval.serving.generations import ServedCollection
from retrieval.serving.library import Library, slug_of
from support.embed_process import TOYS
from support.messages import logged
from support.toy_runs import pictures


def grow(own, colour: str) -> None:
    """Publish a generation with one more picture."""
    pictures(own.media / colour, colour)
    embed([own.media], own.root, EmbedOptions(models=tuple(TOYS), workers=0))


def test_fault_37_a_new_generation_is_served_after_its_publication(own) -> None:
    before = own.client.get("/health").json()["collections"][0]["generation"]
    grow(own, "red")
    own.services.library.refresh()
    health = own.client.get("/health").json()["collections"][0]
    assert health["generation"] > before
    hits = own.client.get("/api/search?q=red&to=image&k=3").json()["hits"]
    assert any(hit["uri"] == str(own.media / "red/red.png") for hit in hits)


def test_fault_37_no_request_fails_while_generations_are_published(own) -> None:
    statuses: list[int] = []
    answers: set[int] = set()
    ended = threading.Event()

    def search() -> None:
        while not ended.is_set():
            answer = own.client.get("/api/search?q=red&k=1")
            statuses.append(answer.status_code)
            answers.add(answer.json().get("generation"))

    thread = threading.Thread(target=search)
    thread.start()
    try:
        for colour in ("blue", "green"):
            grow(own, colour)
            own.services.library.refresh()
    finally:
        ended.set()
        thread.join()
    assert set(statuses) == {200}
    assert len(answers) >= 1


def test_a_search_in_the_old_generation_ends_there(own) -> None:
    collection = next(iter(own.services.library))
    old = collection.current
    grow(own, "red")
    assert collection.refresh()
    assert collection.current.number > old.number
    assert old.searcher.search("red").hits


def test_fault_37_a_vanished_generation_is_searched_again_in_the_next_one(own) -> None:
    collection = next(iter(own.services.library))
    old = collection.current
    grow(own, "red")
    seen = []

    def work(generation) -> int:
        seen.append(generation.number)
        if generation is old:
            raise CollectionDamagedError("its files are gone")
        return generation.number

    assert collection.use(work) == collection.current.number
    assert seen == [old.number, collection.current.number]


def test_errors_of_queries_are_not_tried_again(own) -> None:
    collection = next(iter(own.services.library))
    calls = []

    def work(generation) -> None:
        calls.append(generation)
        raise QueryError("bad")

    with pytest.raises(QueryError):
        collection.use(work)
    assert len(calls) == 1


def test_fault_37_a_collection_that_disappears_is_said_and_the_server_stays_up(own) -> None:
    url = own.url("media", "red.png")
    like = f"/api/search?like={own.ids['red.png']}"
    shutil.rmtree(own.root)
    assert own.client.get("/api/search?q=red").status_code in (200, 503)
    answer = own.client.get(like)
    assert (answer.status_code, answer.json()["error"]) == (
        503, "the collection cannot be read; see the server's log",
    )  # fmt: skip
    assert str(own.root) not in answer.text
    assert own.client.get(url).status_code in (200, 503)
    with logged("retrieval") as lines:
        own.services.library.refresh()
        own.services.library.refresh()
    assert len(lines) == 1
    assert "stays in use" in lines[0]
    assert own.client.get("/health").status_code == 200


def test_fault_37_a_damaged_new_generation_leaves_the_old_one_in_use(own) -> None:
    before = own.client.get("/health").json()
    current = own.root / "CURRENT"
    current.write_text("nonsense")
    own.services.library.refresh()
    assert own.client.get("/health").json() == before
    assert own.client.get("/api/search?q=red").status_code == 200


def test_values_of_a_generation_are_computed_once(own) -> None:
    generation = next(iter(own.services.library)).current
    calls = []
    for _ in range(3):
        assert generation.derive("x", lambda: calls.append(1) or 7) == 7
    assert calls == [1]
    with pytest.raises(ValueError, match="bad"):
        generation.derive("y", lambda: int("bad"))
    assert generation.derive("y", lambda: 8) == 8


def test_slugs_are_unique_and_plain(own, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "c"
    shutil.copytree(own.root, other)
    library = Library([own.root, other, own.root])
    assert [each.slug for each in library] == ["c", "c-2"]
    assert library.at(str(other)) is library.get("c-2")
    assert slug_of(tmp_path / "Fotos Öl & Más!") == "fotos-ol-mas"
    assert slug_of(tmp_path / "写真") == "collection"
    with pytest.raises(QueryError, match="name at least one collection"):
        Library([])


def test_two_collections_are_served_by_their_slugs(own, tmp_path: Path) -> None:
    from support.served_toys import served

    other = tmp_path / "other"
    shutil.copytree(own.root, other)
    with served(own.root, other, cache=tmp_path / "cache2") as (client, _):
        overview = client.get("/api/collections").json()["collections"]
        assert [each["collection"] for each in overview] == ["c", "other"]
        first = client.get("/api/search?q=red").json()
        second = client.get("/api/search?q=red&collection=other").json()
    assert (first["collection"], second["collection"]) == ("c", "other")
    assert first["hits"] == second["hits"]


def test_a_missing_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    from retrieval.errors import CollectionNotFoundError

    with pytest.raises(CollectionNotFoundError):
        ServedCollection(tmp_path, "x").refresh()
