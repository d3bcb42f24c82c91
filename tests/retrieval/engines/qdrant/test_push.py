"""Pushes: resumed, repeated, incremental, and never at the expense of other collections."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.generations import aliases, collections, open_current, read_card
from retrieval.engines.qdrant.push import PushReport, push
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import (
    OutputExistsError,
    QueryError,
    ServerError,
    SpaceMismatchError,
    StorageError,
)
from retrieval.search.indexing.build import build_index
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from support import pushed_toys
from support.messages import logged
from support.pushed_toys import ENCODERS, FIRST, SPACES

SCRIPT = Path(pushed_toys.__file__).with_name("push_process.py")


def server_of(address: str) -> QdrantServer:
    return QdrantServer(QdrantAddress.parse(address), create=True)


def contents(address: str) -> dict[str, tuple[Any, Any]]:
    """Payload and vectors of every point that the alias names."""
    with server_of(address) as server:
        current = open_current(server, QdrantAddress.parse(address).name)
        records, rest = server.call(
            "scroll", current.collection, limit=10_000, with_payload=True, with_vectors=True
        )
    assert rest is None
    return {str(record.id): (record.payload, record.vector) for record in records}


def sent_points(client: Any) -> int:
    return sum(number for name, number in client.calls if name == "upsert")


def rename_item(root: Path, uri: str = "/media/renamed") -> None:
    """Rename an item, whose rows stay as they are."""
    with CollectionWriter.open(root) as writer:
        writer.update(2, replace(pushed_toys.item(2).info, uri=uri), ["uri"])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A small collection that a test may change."""
    return pushed_toys.toys(tmp_path / "own", 24, index=False)


# ---------------------------------------------------------------- repeated pushes


def test_a_repeated_push_sends_nothing(toys: Path, address: str) -> None:
    calls: list[tuple[str, float, float | None]] = []

    def progress(task: str, done: float, total: float | None, note: str = "") -> None:
        calls.append((task, done, total))

    first = push(toys, address, progress=progress)
    rows = sum(Snapshot.open(toys).count_segments(space.name) for space in SPACES)
    assert calls[-1] == ("pushing", rows, rows)
    assert first.sent == first.points == len(contents(address))
    before = contents(address)
    again = push(toys, address)
    assert (again.sent, again.surplus, again.deleted) == (0, 0, ())
    assert (again.collection, again.points) == (first.collection, first.points)
    assert contents(address) == before


@pytest.mark.parametrize(
    ("method", "number"),
    [("create_collection", 1), ("upsert", 4), ("count", 1), ("update_collection_aliases", 1)],
)
def test_a_killed_push_is_continued(toys: Path, tmp_path: Path, method: str, number: int) -> None:
    address = f"qdrant+file:{tmp_path / 'qdrant'}#toys"
    command = [sys.executable, str(SCRIPT), str(toys), address, method, str(number)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with server_of(address) as server:
        assert aliases(server) == {}
    report = push(toys, address)
    already = {"upsert": 16 * (number - 1), "create_collection": 0}.get(method, report.points)
    assert report.sent == report.points - already
    push(toys, f"qdrant+file:{tmp_path / 'other'}#toys")
    assert contents(address) == contents(f"qdrant+file:{tmp_path / 'other'}#toys")


def test_the_alias_switches_after_the_counts_agree(
    own: Path, edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "qdrant://edge/toys"
    first = push(own, address)
    pushed_toys.write(own, range(24, 30))
    upsert = edge.upsert

    def losing(name: str, *, points: Any, wait: bool) -> None:
        upsert(name, points=points[1:], wait=wait)

    monkeypatch.setattr(edge, "upsert", losing)
    edge.can_copy = False
    with pytest.raises(ServerError, match=r"points, expected .*: something else changes it"):
        push(own, address)
    assert edge.aliases == {"toys": first.collection}
    monkeypatch.setattr(edge, "upsert", upsert)
    second = push(own, address)
    assert (second.sent, second.points) == (1, len(contents(address)))
    assert edge.aliases == {"toys": second.collection}


# ---------------------------------------------------------------- new generations


def test_a_new_index_changes_only_the_card(own: Path, address: str) -> None:
    """A generation with the same points needs no further Qdrant collection."""
    first = push(own, address)
    build_index(own, encoders=lambda space: ENCODERS[space.name], device="cpu")
    second = push(own, address)
    assert second.generation > first.generation
    assert (second.sent, second.collection) == (0, first.collection)
    with server_of(address) as server:
        card = open_current(server, QdrantAddress.parse(address).name).card
        assert read_card(server, first.collection) == card
    assert card.generation == second.generation
    assert [bool(each.calibration) for each in card.spaces] == [True, True, True]


def test_a_new_generation_is_copied_inside_the_server(own: Path, edge) -> None:
    """Unchanged points are not sent again."""
    address = "qdrant://edge/toys"
    first = push(own, address)
    edge.calls.clear()
    pushed_toys.write(own, range(24, 30))
    pushed_toys.remove(own, [0, 4])
    rename_item(own)
    before = contents(address)
    second = push(own, address)
    assert second.collection != first.collection
    after = contents(address)
    changed = sum(after[key] != before.get(key) for key in after)
    assert 0 < changed < len(after) / 2
    assert sent_points(edge) == second.sent == changed
    assert second.surplus == len(before.keys() - after.keys()) > 0
    assert edge.snapshots == {}
    push(own, "qdrant://edge/other")
    assert after == contents("qdrant://edge/other")


def test_without_a_copy_all_points_are_sent(own: Path, edge) -> None:
    address = "qdrant://edge/toys"
    push(own, address)
    pushed_toys.write(own, range(24, 26))
    edge.can_copy = False
    with logged("retrieval") as lines:
        report = push(own, address)
    assert report.sent == report.points == len(contents(address))
    assert any("not copied inside the server" in line for line in lines)
    assert edge.snapshots == {}


def test_two_older_generations_are_kept(own: Path, address: str) -> None:
    reports: list[PushReport] = []
    for number in range(24, 29):
        pushed_toys.write(own, range(number, number + 1))
        reports.append(push(own, address, keep=2))
    names = [report.collection for report in reports]
    assert [report.deleted for report in reports] == [(), (), (), (names[0],), (names[1],)]
    with server_of(address) as server:
        name = QdrantAddress.parse(address).name
        found = [each for each in collections(server) if each.startswith(f"{name}-")]
        assert (aliases(server)[str(name)], found) == (names[-1], names[-3:])
    last = push(own, address, keep=0)
    assert last.deleted == tuple(reversed(names[-3:-1]))


def test_changes_by_others_are_undone(own: Path, address: str) -> None:
    report = push(own, address)
    before = contents(address)
    victim, *_ = before
    with server_of(address) as server:
        server.call("delete", report.collection, points_selector=[victim], wait=True)
    assert push(own, address).sent == 1
    from qdrant_client.models import PointStruct

    with server_of(address) as server:
        foreign = PointStruct(id=5, vector={}, payload={"item_id": 1})
        server.call("upsert", report.collection, points=[foreign], wait=True)
    assert push(own, address).surplus == 1
    assert contents(address) == before


# ---------------------------------------------------------------- what belongs to others


def foreign(address: str, name: str, alias: str | None = None) -> None:
    """Create a collection that was not pushed."""
    from qdrant_client import models

    with server_of(address) as server:
        size = models.VectorParams(size=2, distance=models.Distance.DOT)
        server.call("create_collection", name, vectors_config={"a": size})
        if alias is not None:
            create = models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=name, alias_name=alias)
            )
            server.call("update_collection_aliases", change_aliases_operations=[create])


def test_a_collection_of_the_name_is_refused(own: Path, tmp_path: Path) -> None:
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    foreign(address, "toys")
    with pytest.raises(QueryError, match=r"is a collection of its own, .*; choose another name"):
        push(own, address)


def test_an_alias_of_something_else_is_refused(own: Path, tmp_path: Path) -> None:
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    foreign(address, "other", "toys")
    with pytest.raises(QueryError, match="is an alias of other, which was not pushed"):
        push(own, address)
    with server_of(address) as server:
        assert collections(server) == ["other"]


def test_collections_of_others_are_never_deleted(own: Path, tmp_path: Path) -> None:
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    names = ["toys-000001-00000000", "toys-", "else"]
    for name in names:
        foreign(address, name)
    for number in range(24, 27):
        pushed_toys.write(own, range(number, number + 1))
        report = push(own, address, keep=0)
    with server_of(address) as server:
        assert set(collections(server)) == {*names, report.collection}


def test_generations_with_another_alias_are_kept(own: Path, tmp_path: Path) -> None:
    from qdrant_client import models

    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    first = push(own, address).collection
    with server_of(address) as server:
        create = models.CreateAlias(collection_name=first, alias_name="stable")
        operation = models.CreateAliasOperation(create_alias=create)
        server.call("update_collection_aliases", change_aliases_operations=[operation])
    pushed_toys.write(own, range(24, 25))
    report = push(own, address, keep=0)
    with server_of(address) as server:
        assert collections(server) == sorted([first, report.collection])


def test_another_collection_is_not_replaced_by_accident(own: Path, tmp_path: Path) -> None:
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    push(own, address)
    other = Path(shutil.copytree(own, tmp_path / "other"))
    pushed_toys.write(other, range(24, 25))
    with pytest.raises(OutputExistsError, match=r"pushed from .*/own, not from .*/other; choose"):
        push(other, address)
    report = push(other, address, replace_other=True)
    with server_of(address) as server:
        assert aliases(server) == {"toys": report.collection}
    assert len(contents(address)) == report.points


def test_a_space_with_another_digest_is_refused(own: Path, tmp_path: Path) -> None:
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    push(own, address)
    other = tmp_path / "other"
    with CollectionWriter.open(other, create=True) as writer:
        writer.add_space(replace(FIRST, digest="f" * 64))
        item = pushed_toys.item(0)
        writer.add(replace(item, segments={FIRST.name: item.segments[FIRST.name]}))
    with pytest.raises(SpaceMismatchError) as caught:
        push(other, address)
    assert "has the digest 00000000, that of the collection ffffffff" in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- bad input


def test_a_negative_number_of_generations_is_refused(own: Path) -> None:
    with pytest.raises(QueryError, match="at least 0, got -1"):
        push(own, "qdrant+file:never", keep=-1)


def test_a_full_disk_is_one_line(own: Path, tmp_path: Path) -> None:
    """The limit of file sizes stands for a full disk; nothing is half published."""
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "from retrieval.engines.qdrant.push import push\n"
        "from retrieval.errors import StorageError\n"
        "try:\n    push(sys.argv[1], sys.argv[2])\n"
        "except StorageError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", code, str(own), address]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'q'} cannot be read or written" in done.stdout
    assert done.stdout.count("\n") == 1
    with server_of(address) as server:
        assert aliases(server) == {}
    report = push(own, address)
    assert len(contents(address)) == report.points


def test_a_folder_without_rights_is_one_line(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qdrant_client

    def refused(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(qdrant_client, "QdrantClient", refused)
    with pytest.raises(StorageError, match=r"cannot be read or written .*Permission denied"):
        push(own, f"qdrant+file:{tmp_path / 'q'}#toys")
