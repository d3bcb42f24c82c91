"""The tools for assistants, through the SDK's client and a process of their own."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from PIL import Image

from retrieval.collection import Collection
from support import serve_process, served_toys

HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("search", {"query": "red", "k": 10**6}),
    ("search", {"query": "x" * 100_000}),
    ("search", {"query": "red", "where": ["nonsense ("]}),
    ("search", {"query": "red", "where": ["1 = 1; DROP TABLE items"]}),
    ("search", {"query": "red", "to": ["smell"]}),
    ("search", {"query": "red", "collection": "../../etc"}),
    ("search", {"like": [10**30]}),
    ("search", {"like": [-1]}),
    ("search", {"query": {"a": 1}}),
    ("search", {"query": '"red" + @/etc/passwd'}),
    ("moments", {}),
    ("moments", {"query": " "}),
    ("describe_collection", {"collection": "\0"}),
    ("get_media", {"item_id": 10**17}),
    ("get_media", {"item_id": -1}),
    ("get_media", {"item_id": "../1"}),
    ("get_media", {"item_id": 1, "size": 10**9}),
    ("get_media", {"item_id": 1, "seconds": 1e300}),
    ("no_such_tool", {}),
]


@pytest.fixture(scope="module")
def answers(toys: tuple[Path, Path], tmp_path_factory) -> dict[str, Any]:
    """What one session of a real process answers to all calls of these tests."""
    _, root = toys
    ids = served_toys.ids_by_name(root)
    runtime = tmp_path_factory.mktemp("mcp")
    calls = {
        "search": ("search", {"query": "red", "to": ["image"], "k": 3}),
        "like": ("search", {"like": [ids["red.png"]], "k": 2}),
        "moments": ("moments", {"query": "white", "k": 2}),
        "describe": ("describe_collection", {}),
        "picture": ("get_media", {"item_id": ids["green.png"]}),
        "still": ("get_media", {"item_id": ids["film.mp4"], "seconds": 3.5, "size": 160}),
        **{f"hostile {number}": call for number, call in enumerate(HOSTILE)},
        "after": ("search", {"query": "red", "to": ["image"], "k": 3}),
    }
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[serve_process.__file__, "serve", str(root), "--mcp", "--device", "cpu"],
        env={
            "PYTHONPATH": os.pathsep.join([str(serve_process.ROOT), f"{serve_process.ROOT}/tests"]),
            "XDG_CACHE_HOME": str(runtime), "OMP_NUM_THREADS": "1", "HOME": str(runtime),
        },
    )  # fmt: skip

    async def ask() -> dict[str, Any]:
        async with (
            stdio_client(parameters) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            given: dict[str, Any] = {"tools": (await session.list_tools()).tools}
            for name, (tool, arguments) in calls.items():
                given[name] = await session.call_tool(tool, arguments)
            return given

    return asyncio.run(asyncio.wait_for(ask(), 300))


def test_all_tools_are_read_only(answers) -> None:
    tools = {tool.name: tool for tool in answers["tools"]}
    assert set(tools) == {"search", "moments", "describe_collection", "get_media"}
    assert all(tool.annotations.read_only_hint for tool in tools.values())
    assert all(tool.description for tool in tools.values())


def test_hits_are_those_of_the_library(answers, toys, monkeypatch) -> None:
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    local = Collection(toys[1], device="cpu")
    ids = served_toys.ids_by_name(toys[1])
    for name, hits in {
        "search": local.search("red", to="image", k=3),
        "like": local.search(like=ids["red.png"], k=2),
        "moments": local.search("white", to="moment", k=2),
        "after": local.search("red", to="image", k=3),
    }.items():
        found = answers[name].structured_content["hits"]
        assert [(hit["item_id"], hit["score"], hit["start_seconds"]) for hit in found] == [
            (hit.item_id, hit.score, hit.start_seconds) for hit in hits
        ]


def test_a_collection_is_described(answers) -> None:
    content = answers["describe"].structured_content
    assert content["collections"] == ["toys"]
    assert content["items"] == {"audio": 1, "image": 8, "video": 1}
    assert "width" in {column["name"] for column in content["columns"]}


@pytest.mark.parametrize(
    ("name", "size", "colour"), [("picture", (64, 48), (0, 128, 0)), ("still", None, (255,) * 3)]
)
def test_media_are_images(answers, name: str, size, colour) -> None:
    (content,) = answers[name].content
    assert content.mime_type == "image/webp"
    picture = Image.open(io.BytesIO(base64.b64decode(content.data))).convert("RGB")
    assert size is None or picture.size == size
    pixel = picture.getpixel((picture.width // 2, picture.height // 2))
    assert max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 12


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=lambda n: str(HOSTILE[n])[:60])
def test_hostile_arguments_are_errors_of_the_tool(answers, number: int) -> None:
    answer = answers[f"hostile {number}"]
    assert answer.is_error
    assert "Traceback" not in answer.content[0].text
    assert "root:" not in answer.content[0].text
