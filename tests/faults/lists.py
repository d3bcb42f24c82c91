"""Hostile lists and tars: each builder writes one next to good files and a canary."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from faults.cases import Case
from faults.toys import MODELS, is_whole, run_command
from retrieval.store.reader import Snapshot
from support.media_files import picture_bytes, write_tar

GOOD = "good.png"


def csv(content: str | bytes) -> Callable[[Path], Path]:
    """A CSV with this content."""

    def write(folder: Path) -> Path:
        path = folder / "list.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def jsonl(content: str | bytes) -> Callable[[Path], Path]:
    """JSON lines with this content."""

    def write(folder: Path) -> Path:
        path = folder / "list.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def parquet(columns: dict[str, object], damage: int = 0) -> Callable[[Path], Path]:
    """A Parquet file of these columns, without so many of its last bytes."""

    def write(folder: Path) -> Path:
        path = folder / "list.parquet"
        pq.write_table(pa.table(columns), path)
        if damage:
            path.write_bytes(path.read_bytes()[:-damage])
        return path

    return write


def tar(*members: object, cut: int = 0) -> Callable[[Path], Path]:
    """A tar of (name, content) pairs and TarInfos, without so many of its last bytes."""

    def write(folder: Path) -> Path:
        path = write_tar(folder / "list.tar", list(members))  # type: ignore[arg-type]
        if cut:
            path.write_bytes(path.read_bytes()[:-cut])
        return path

    return write


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A member that is a link or a device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def lying_tar(folder: Path) -> Path:
    """A tar whose header says that a member of a petabyte follows."""
    info = tarfile.TarInfo("huge.png")
    info.size = 2**50
    path = folder / "list.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + picture_bytes("PNG"))
    return path


def gzipped_tar(folder: Path) -> Path:
    """A compressed tar of a gigabyte of zeros, under a plain name."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        info = tarfile.TarInfo("zeros.png")
        info.size = 1 << 26
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    path = folder / "list.tar"
    path.write_bytes(gzip.compress(inner.getvalue(), 1))
    return path


def pipe_in_a_list(folder: Path) -> Path:
    """A list that names a pipe without a writer."""
    os.mkfifo(folder / "pipe.png")
    return csv(f"path\npipe.png\n{GOOD}\n")(folder)


def list_of_itself(folder: Path) -> Path:
    """A list that names itself and the folder it lies in."""
    return csv(f"path\nlist.csv\n.\n{GOOD}\n")(folder)


PICTURE = picture_bytes("PNG")

HOSTILE: tuple[Callable[[Path], Path], ...] = (
    csv(""),
    csv("\n\n\n"),
    csv(b"\xff\xfe\x00\x01" * 50),
    csv("path"),
    csv("path\n" + "\n" * 10_000 + GOOD),
    csv(f"path,path\n{GOOD},{GOOD}\n"),
    csv(f"path,a\n{GOOD}\n{GOOD},1,2,3\n"),
    csv(f'path,a\n{GOOD},"never closed\n' + "x" * 100_000),
    csv(f"path,a\n{GOOD}," + "x" * (2 << 20)),
    csv("path," + ",".join(f"c{number}" for number in range(2_000)) + f"\n{GOOD}" + ",1" * 2_000),
    csv(f"path,n\n{GOOD},{'9' * 5_000}\n"),
    csv(f"path,n\n{GOOD},1e999\n{GOOD},nan\n"),
    csv("path\n/etc/passwd\n/dev/zero\n/proc/self/mem\n../../../../etc/shadow\n"),
    csv(f"path\n\0{GOOD}\n{GOOD}\n"),
    csv("path\n" + "a/" * 3_000 + "x.png\n" + "b" * 300 + ".png\n"),
    csv(f"path,caption\n{GOOD},\x1b]0;owned\x07\x1b[2J\u202e\n"),
    csv(f"path,{'c' * 70_000}\n{GOOD},1\n"),
    csv(f"path,item_id,uri,sha256,embedding\n{GOOD},-1,/x,y,z\n"),
    csv(b"path,a\n" + GOOD.encode() + b",\xc3\x28\xed\xa0\x80\n"),
    csv("path\nhttp://127.0.0.1:9/x.png\nfile:///etc/passwd\nconcat:/etc/passwd\n"),
    jsonl("[" * 100_000),
    jsonl('{"path":' * 50_000),
    jsonl(f'{{"path": "{GOOD}", "n": {"9" * 5_000}}}\n'),
    jsonl(f'{{"path": "{GOOD}", "n": NaN, "m": Infinity, "o": 1e400}}\n'),
    jsonl('{"path": 1}\n{"path": null}\n{"path": ["a"]}\n{"path": ""}\n7\n"x"\nnull\n'),
    jsonl(f'{{"path": "\\ud800.png"}}\n{{"path": "{GOOD}", "t": "\\udfff"}}\n'),
    jsonl("".join(json.dumps({"path": GOOD, f"k{n}": n}) + "\n" for n in range(500))),
    jsonl(b'{"path": "good.png"}\r\n\x00\x00\n' + b"\xef\xbb\xbf{}\n"),
    parquet({"path": [GOOD, None, "", "../../etc/passwd"]}),
    parquet({"path": [GOOD], "deep": [[[[1]]]], "map": [{"a": {"b": b"\xff"}}]}),
    parquet({"path": [GOOD] * 3, "big": pa.array([2**64 - 1, 0, 1], pa.uint64())}),
    parquet({"path": [b"good.png", b"\xff\xfe"]}),
    parquet({"path": [GOOD] * 100}, damage=30),
    parquet({"other": [1]}),
    list_of_itself,
    pipe_in_a_list,
    tar(
        ("../canary.txt", b"owned"), ("/tmp/owned.png", PICTURE), ("a/../../canary.txt", b"owned"),
        ("x.png", PICTURE), ("x.png", b"again"), ("x.json", b"[" * 100_000),
    ),
    tar(
        link("l.png", "/etc/passwd"), link("h.png", "../canary.txt", tarfile.LNKTYPE),
        link("f.png", "", tarfile.FIFOTYPE), link("d.png", "", tarfile.CHRTYPE), ("y.png", PICTURE),
    ),
    tar(*((f"{number}.png", PICTURE) for number in range(20)), cut=15_000),
    lying_tar,
    gzipped_tar,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostileList:
    """Runs the cases: embeds one list, with a good file beside it."""

    folder: Path

    def __call__(self, case: Case) -> str:
        """Embed a list, then the good file; expect a whole collection and an unharmed canary."""
        build = HOSTILE[case.number % len(HOSTILE)]
        above = self.folder / str(case.number)
        shutil.rmtree(above, ignore_errors=True)
        folder = above / "inner"
        folder.mkdir(parents=True)
        (above / "canary.txt").write_text("a canary")
        (folder / GOOD).write_bytes(PICTURE)
        source = build(folder)
        root = above / "c"
        outcome = run_command("embed", source, "-c", root, *MODELS, "--workers", 0).check()
        assert len(outcome.stderr) < 40_000, f"{len(outcome.stderr)} characters of messages"
        is_whole(root)
        stored = set(Snapshot.open(root).known_files()) if (root / "CURRENT").exists() else set()
        strange = [uri for uri in stored if not uri.startswith(str(folder))]
        assert not strange, f"embedded: {strange}"
        again = run_command("embed", folder / GOOD, "-c", root, *MODELS, "--workers", 0).check()
        assert again.code == 0, again
        assert str(folder / GOOD) in Snapshot.open(root).known_files()
        assert (above / "canary.txt").read_text() == "a canary"
        assert not Path("/tmp/owned.png").exists()
        assert sorted(path.name for path in above.iterdir()) == ["c", "canary.txt", "inner"]
        shutil.rmtree(above)
        kind = source.suffix[1:]
        if outcome.code == 2:
            return f"{kind}: refused in words"
        return f"{kind}: {'its good rows embedded' if stored else 'nothing embedded, told why'}"
