import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retrieval.encoders.hub.convert import main

pytestmark = pytest.mark.long


def convert(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retrieval.encoders.hub.convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tensors_are_kept_bit_by_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shared = torch.randn(4, 3)
    state = {"a": shared, "tied": shared, "half": torch.randn(5).half(), "turned": shared.T}
    torch.save(state, tmp_path / "one.bin")
    torch.save({"state_dict": {"b": torch.arange(3)}, "epoch": 3}, tmp_path / "two.bin")
    done = convert(tmp_path / "one.bin", tmp_path / "two.bin", tmp_path / "out.safetensors")
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == {"a", "tied", "half", "turned", "b"}
    for name, tensor in (state | {"b": torch.arange(3)}).items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_fault_17_a_pickle_that_runs_code_fails_and_runs_none(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1), "b": Canary(tmp_path / "canary")}, tmp_path / "evil.bin")
    done = convert(tmp_path / "evil.bin", tmp_path / "out.safetensors")
    assert done.returncode != 0
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage"])
def test_a_damaged_pickle_fails(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(content)
    assert convert(tmp_path / "bad.bin", tmp_path / "out.safetensors").returncode != 0


def test_a_pickle_without_tensors_fails(tmp_path: Path) -> None:
    torch.save({"epoch": 1}, tmp_path / "none.bin")
    done = convert(tmp_path / "none.bin", tmp_path / "out.safetensors")
    assert "it contains no tensors" in done.stderr


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.socket()",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "import os; os.execv('/bin/true', ['true'])",
    ],
)
def test_the_process_that_converts_opens_no_connection_and_starts_no_program(attempt: str) -> None:
    code = (
        "import sys; from retrieval.encoders.hub.convert import refuse;"
        f"sys.addaudithook(refuse); {attempt}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is refused while a pickle is converted" in done.stderr
    assert done.returncode == 1


def test_a_missing_pickle_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.addaudithook", lambda hook: None)  # a hook cannot be removed
    with pytest.raises(FileNotFoundError):
        main([str(tmp_path / "none.bin")], str(tmp_path / "out.safetensors"))
