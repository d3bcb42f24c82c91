"""One request searches several of the served collections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from support.media_files import make_tone, sound_bytes
from support.served_toys import embed_toys, ids_by_name, served, use_toys_for_searching

COLOURS = (("red", "green", "grey"), ("blue", "yellow", "white"), ("black", "orange"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Serve `all`, and the same files in `c0`, `c1` and `c2`."""
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        use_toys_for_searching(patch.setattr)
        roots = []
        for number, colours in enumerate(COLOURS):
            media = folder / "media" / str(number)
            media.mkdir(parents=True)
            for colour in colours:
                Image.new("RGB", (64, 48), colour).save(media / f"{colour} c{number}.png")
            tone = make_tone(4, 8_000, 110.0 * 4**number)
            (media / f"tone{number}.wav").write_bytes(sound_bytes(tone, 8_000))
            roots.append(embed_toys(media, folder / f"c{number}", patch.setattr))
            everything = embed_toys(media, folder / "all", patch.setattr)
        with served(everything, *roots, cache=folder / "cache") as (client, _):
            yield client


def hits_of(client: TestClient, address: str) -> list[dict[str, Any]]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    hits: list[dict[str, Any]] = answer.json()["hits"]
    return hits


def without_places(hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hits without the fields that differ between one and several collections."""
    rounded = [hit | {name: hit[name] and round(hit[name], 5) for name in SCORES} for hit in hits]
    return [
        {name: value for name, value in hit.items() if name not in ("item_id", "collection")}
        for hit in rounded
    ]


SCORES = ("score", "text_score")
GROUP = "collection=c0&collection=c1&collection=c2"


@pytest.mark.parametrize(
    "query",
    [
        "q=red",
        "q=blue%20tone1",
        "q=high&to=music",
        "q=low&to=moment",
        "q=yellow%20c1&text=only",
        "q=grey&k=2&offset=1",
        "q=red&where=uri%20LIKE%20%27%25c0%25%27",
    ],
)
def test_several_collections_answer_as_one(client: TestClient, query: str) -> None:
    one = hits_of(client, f"/api/search?collection=all&{query}")
    several = hits_of(client, f"/api/search?{GROUP}&{query}")
    assert without_places(several) == without_places(one)
    assert one
    for hit in several:
        assert hit["collection"] in hit["uri"] or f"media/{hit['collection'][1:]}/" in hit["uri"]
    assert all("collection" not in hit for hit in one)


def test_the_answer_names_the_collections_and_the_next_page(client: TestClient) -> None:
    answer = client.get(f"/api/search?{GROUP}&q=red&k=3").json()
    assert answer["collection"] == ["c0", "c1", "c2"]
    following = hits_of(client, f"/api/search{answer['next']}")
    assert following == hits_of(client, f"/api/search?{GROUP}&q=red&k=3&offset=3")
    assert following[0]["rank"] == 4
    twice = client.get("/api/search?collection=c1&collection=c1&q=red").json()
    assert twice["collection"] == "c1"


def test_a_star_stands_for_all_collections(client: TestClient) -> None:
    answer = client.get("/api/search?collection=*&q=red&k=50").json()
    assert answer["collection"] == ["all", "c0", "c1", "c2"]
    assert {hit["collection"] for hit in answer["hits"]} == {"all", "c0", "c1", "c2"}


def test_the_newest_items_of_several_collections(client: TestClient) -> None:
    hits = hits_of(client, f"/api/search?{GROUP}&k=50")
    assert len(hits) == 11
    assert [hit["rank"] for hit in hits] == list(range(1, 12))
    own = {
        slug: hits_of(client, f"/api/search?collection={slug}&k=50") for slug in ("c0", "c1", "c2")
    }
    for slug, newest in own.items():
        uris = [hit["uri"] for hit in newest]
        assert [hit["uri"] for hit in hits if hit["collection"] == slug] == uris
    page = hits_of(client, f"/api/search?{GROUP}&k=4&offset=3")
    assert page == hits[3:7]
    images = hits_of(client, f"/api/search?{GROUP}&to=music")
    assert [hit["modality"] for hit in images] == ["audio"] * 3


def test_an_item_of_one_collection_finds_those_of_all(client: TestClient, tmp_path: Path) -> None:
    hits = hits_of(client, f"/api/search?{GROUP}&q=red&k=1")
    place = f"{hits[0]['collection']}:{hits[0]['item_id']}"
    similar = hits_of(client, f"/api/search?{GROUP}&like={place}&k=20")
    uris = {hit["uri"] for hit in similar}
    assert hits[0]["uri"] not in uris
    assert {hit["collection"] for hit in similar} == {"c0", "c1", "c2"}
    weighted = hits_of(client, f"/api/search?{GROUP}&like={place}:0.5&q=blue")
    assert weighted


def test_a_file_is_embedded_for_all_collections(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "orange.png"
    Image.new("RGB", (64, 48), "orange").save(path)
    one = client.post("/api/search?collection=all", content=path.read_bytes()).json()
    several = client.post(f"/api/search?{GROUP}", content=path.read_bytes()).json()
    assert without_places(several["hits"]) == without_places(one["hits"])
    again = hits_of(client, f"/api/search?{GROUP}&file={several['file'][0]}")
    assert again == several["hits"]


@pytest.mark.parametrize(
    ("address", "status", "message"),
    [
        (f"/api/search?{GROUP}&collection=other&q=red", 404, "no collection of this name"),
        (f"/api/search?{GROUP}&like=3", 422, "like must be SLUG:ITEM_ID"),
        (f"/api/search?{GROUP}&like=c9:3", 422, "no collection 'c9' is searched"),
        (f"/api/search?{GROUP}&like=c0:999", 422, "no item has the id 999"),
        (f"/api/search?{'&'.join(['collection=c0'] * 65)}&q=red", 422, "collection"),
    ],
)
def test_wrong_requests_are_answered_in_one_line(
    client: TestClient, address: str, status: int, message: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_new_generation_of_a_member_is_searched(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toys_for_searching(monkeypatch.setattr)
    media = [tmp_path / "m0", tmp_path / "m1"]
    for folder, colour in zip(media, ("red", "blue"), strict=True):
        folder.mkdir()
        Image.new("RGB", (64, 48), colour).save(folder / f"{colour}.png")
    roots = [
        embed_toys(folder, tmp_path / f"g{number}", monkeypatch.setattr)
        for number, folder in enumerate(media)
    ]
    with served(*roots, cache=tmp_path / "cache") as (own, services):
        address = "/api/search?collection=g0&collection=g1&q=red"
        assert len(hits_of(own, address)) == 2
        Image.new("RGB", (64, 48), (240, 10, 10)).save(media[1] / "scarlet.png")
        embed_toys(media[1], roots[1], monkeypatch.setattr)
        services.library.refresh()
        hits = hits_of(own, address)
        assert len(hits) == 3
        scarlet = ids_by_name(roots[1])["scarlet.png"]
        assert {"collection": "g1", "item_id": scarlet}.items() <= hits[1].items()
