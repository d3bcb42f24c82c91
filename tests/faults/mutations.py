"""Damage done to the bytes of a file, chosen by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    """Flip one to sixteen bits anywhere."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 16))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def truncate(content: bytes, chance: random.Random) -> bytes:
    """Keep the first part, often nearly everything or nearly nothing."""
    share = chance.choice((chance.random(), 1 - chance.random() / 50, chance.random() / 50))
    return content[: int(share * len(content))]


def swap_blocks(content: bytes, chance: random.Random) -> bytes:
    """Exchange two stretches of one length."""
    size = chance.choice((16, 512, 4096))
    size = min(size, len(content) // 2)
    first, second = sorted((chance.randrange(len(content) - size), chance.randrange(size + 1)))
    second = min(max(second, first + size), len(content) - size)
    damaged = bytearray(content)
    damaged[first : first + size] = content[second : second + size]
    damaged[second : second + size] = content[first : first + size]
    return bytes(damaged)


def edit_header(content: bytes, chance: random.Random) -> bytes:
    """Overwrite numbers among the first or last bytes, where formats keep their lengths."""
    damaged = bytearray(content)
    reach = min(chance.choice((32, 128, 1024)), len(content))
    for _ in range(chance.randint(1, 3)):
        width = chance.choice((1, 2, 4, 8))
        value = chance.choice((0, 1, 2**7, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1))
        number = (value % 256**width).to_bytes(width, chance.choice(("little", "big")))
        place = chance.randrange(reach)
        place = place if chance.random() < 0.7 else len(content) - reach + place
        damaged[place : place + width] = number
    return bytes(damaged[: len(content)])


def noise(content: bytes, chance: random.Random) -> bytes:
    """Overwrite a stretch with noise or zeros."""
    size = min(chance.choice((8, 64, 1024)), len(content))
    place = chance.randrange(len(content) - size + 1)
    stretch = chance.choice((chance.randbytes(size), bytes(size)))
    return content[:place] + stretch + content[place + size :]


def insert(content: bytes, chance: random.Random) -> bytes:
    """Put a stretch of the file, or noise, in between."""
    place = chance.randrange(len(content))
    stretch = chance.choice((content[: chance.randrange(1, 4096)], chance.randbytes(64)))
    return content[:place] + stretch + content[place:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bits, truncate, swap_blocks, edit_header, noise, insert,
)  # fmt: skip


def mutate(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    """Damage a file in one way; the damage and its name."""
    if not content:
        return b"\0", "insert"
    mutation = chance.choice(MUTATIONS)
    return mutation(content, chance), mutation.__name__.replace("_", " ")


HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63 - 1, 2**63, 10**400, 1e308, -1e308, "", "x", "../x", "\ud800",
    "\0", [], {}, [[]], "é" * 300,
)  # fmt: skip


def mutate_json(content: bytes, chance: random.Random) -> bytes:
    """Put a hostile value in the place of one value, or drop, double or nest a part."""
    raw = json.loads(content)
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        keys: Any = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                visit(node[key])

    visit(raw)
    parent, key = chance.choice(places)
    how = chance.random()
    if how < 0.1:
        del parent[key]
    elif how < 0.2 and isinstance(parent, list):
        parent.append(parent[key])
    elif how < 0.25:
        return json.dumps(raw).encode().replace(b"0", b"[" * 50_000 + b"0" + b"]" * 50_000, 1)
    else:
        parent[key] = chance.choice(HOSTILE_VALUES)
    return json.dumps(raw).encode()


def retype(content: bytes, chance: random.Random, *, parquet: bool) -> bytes:
    """A valid table in the place of another: a column lost, renamed, retyped or with gaps."""
    source = pa.BufferReader(content)
    table = pq.read_table(source) if parquet else pa.ipc.open_file(source).read_all()
    place = chance.randrange(table.num_columns)
    column, name = table.column(place), table.column_names[place]
    changes: tuple[Callable[[], pa.Table], ...] = (
        lambda: table.remove_column(place),
        lambda: table.rename_columns([*table.column_names[:place], "x",
                                      *table.column_names[place + 1 :]]),
        lambda: table.set_column(place, name, pa.array([str(v) for v in column.to_pylist()])),
        lambda: table.set_column(place, name, pa.nulls(table.num_rows, column.type)),
        lambda: table.take(pa.array(chance.choices(range(table.num_rows), k=table.num_rows))),
        lambda: table.slice(0, table.num_rows // 2),
        lambda: table.append_column("y", pa.nulls(table.num_rows, pa.binary())),
    )  # fmt: skip
    changed = chance.choice(changes)() if table.num_rows else table
    sink = pa.BufferOutputStream()
    if parquet:
        pq.write_table(changed, sink)
    else:
        with pa.ipc.new_file(sink, changed.schema) as writer:
            writer.write_table(changed)
    return bytes(sink.getvalue())
