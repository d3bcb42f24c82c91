"""Thumbnails and waveforms: what they show, and the cache below them."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.serving.disk_cache import DiskCache
from retrieval.serving.item_files import item_record
from support import served_toys
from support.media_files import make_tone, sound_bytes


def picture(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "WEBP"
    return image.convert("RGB")


def test_a_thumbnail_shows_the_picture(shared) -> None:
    answer = shared.client.get(shared.url("thumbnails", "red.png"))
    assert answer.headers["content-type"] == "image/webp"
    image = picture(answer.content)
    assert image.size == (64, 48)
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - (255, 0, 0)).max() < 10


def test_a_thumbnail_of_a_video_shows_the_frame_of_a_time(shared) -> None:
    levels = []
    for seconds in (0.5, 3.0):
        answer = shared.client.get(shared.url("thumbnails", "film.mp4", f"?t={seconds}"))
        levels.append(float(np.asarray(picture(answer.content)).mean()))
    assert levels[0] < 20
    assert levels[1] > 235


def test_the_longer_side_is_the_next_known_size(tmp_path: Path, monkeypatch) -> None:
    media = tmp_path / "media"
    media.mkdir()
    served_toys.noise_picture(900).resize((900, 450)).save(media / "large.png")
    served_toys.embed_toys(media, tmp_path / "c", monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    with served_toys.served(tmp_path / "c", cache=tmp_path / "cache") as (client, services):
        sizes = {
            side: picture(client.get(f"/thumbnails/c/0?size={side}").content).size
            for side in (1, 160, 161, 320, 640, 2560)
        }
        assert services.derived.made == 4
    assert sizes == {
        1: (160, 80), 160: (160, 80), 161: (320, 160), 320: (320, 160), 640: (640, 320),
        2560: (900, 450),
    }  # fmt: skip


@pytest.mark.parametrize("query", ["?size=0", "?size=9999", "?t=-1", "?t=nan", "?t=1e99", "?t=x"])
def test_invalid_sizes_and_times_are_refused(shared, query: str) -> None:
    assert shared.client.get(shared.url("thumbnails", "red.png", query)).status_code == 422


def test_a_recording_without_a_cover_has_no_thumbnail(shared) -> None:
    answer = shared.client.get(shared.url("thumbnails", "low.wav"))
    assert (answer.status_code, answer.json()["error"]) == (422, "the recording has no cover")


def test_peaks_are_those_of_the_sound(tmp_path: Path, monkeypatch) -> None:
    media = tmp_path / "media"
    media.mkdir()
    quiet, loud = 0.2 * make_tone(2, 8_000), make_tone(2, 8_000)
    (media / "a.wav").write_bytes(sound_bytes(np.concatenate([quiet, loud]), 8_000))
    served_toys.embed_toys(media, tmp_path / "c", monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    with served_toys.served(tmp_path / "c", cache=tmp_path / "cache") as (client, _):
        answer = client.get("/waveforms/c/0?bins=4").json()
        assert answer == {"seconds": 4.0, "peaks": [0.1, 0.1, 0.5, 0.5]}
        assert len(client.get("/waveforms/c/0?bins=2000").json()["peaks"]) == 200
        assert client.get("/waveforms/c/0?bins=9999").status_code == 422


def test_an_image_has_no_waveform(shared) -> None:
    assert shared.client.get(shared.url("waveforms", "red.png")).status_code == 422


def test_a_second_request_is_answered_from_the_caches(own) -> None:
    url = own.url("thumbnails", "red.png")
    first = own.client.get(url)
    assert own.client.get(url).content == first.content
    own.services.derived._memory.clear()
    assert own.client.get(url).content == first.content
    assert own.services.derived.made == 1
    again = own.client.get(url, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_equal_requests_at_the_same_time_are_made_once(own) -> None:
    generation = next(iter(own.services.library)).current
    record = item_record(generation, own.ids["red.png"])

    async def ask() -> set[bytes]:
        asked = [own.services.derived.thumbnail(record, 0.0, 320) for _ in range(20)]
        return set(await asyncio.gather(*asked))

    assert len(asyncio.run(ask())) == 1
    assert own.services.derived.made == 1


def test_a_crashing_decoder_costs_one_answer(own, monkeypatch: pytest.MonkeyPatch) -> None:
    from support.crashing_task import CrashingTask

    monkeypatch.setattr("retrieval.serving.derived.ThumbnailTask", CrashingTask)
    answer = own.client.get(own.url("thumbnails", "red.png"))
    assert answer.status_code == 422
    assert "its decoder crashed with exit code 7" in answer.json()["error"]
    monkeypatch.undo()
    assert own.client.get(own.url("thumbnails", "green.png")).status_code == 200


def test_fault_34_a_full_disk_under_the_cache_costs_the_cache_only(
    own, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self, path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(DiskCache, "_write", full)
    for name in ("red.png", "green.png"):
        assert own.client.get(own.url("thumbnails", name)).status_code == 200


# ---------------------------------------------------------------- the cache on disk


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path / "cache", 1_000)
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "full")))
    cache.put("a", b"1")
    assert cache.get("a") is None
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    cache = DiskCache(tmp_path / "cache", 1_000)
    cache.put("a", b"1")
    assert cache.get("a") is None


def test_the_least_recently_used_files_are_deleted(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1_000)
    for number in range(9):
        cache.put(f"{number}", b"x" * 100)
        os.utime(cache._path(f"{number}"), (number + 1, number + 1))
    assert cache.get("0") is not None  # used again
    for number in (9, 10):
        cache.put(f"{number}", b"x" * 100)
    left = [number for number in range(11) if cache.get(f"{number}") is not None]
    assert left == [0, 3, 4, 5, 6, 7, 8, 9, 10]


def test_what_an_earlier_server_left_counts(tmp_path: Path) -> None:
    DiskCache(tmp_path, 10_000).put("old", b"x" * 5_000)
    os.utime(DiskCache(tmp_path, 1)._path("old"), (1, 1))
    cache = DiskCache(tmp_path, 1_000)
    cache.put("new", b"x" * 100)
    assert cache.get("old") is None
    assert cache.get("new") == b"x" * 100
