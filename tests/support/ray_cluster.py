"""A Ray cluster of two nodes on this machine, with a token, in processes of its own.

Usage: python ray_cluster.py NODES; ends when its standard input does. Each line of standard input
adds a node.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

Result = TypeVar("Result")

ENVIRONMENT = {
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


class RayCluster:
    """Starts and stops the cluster.

    Attributes:
        address: Address of the head.
        environment: Variables of the processes that use the cluster.
    """

    def __init__(self, nodes: int = 2) -> None:
        tests = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join([str(Path(tests).parent), tests])
        self.environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
        self.environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(nodes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            text=True,
        )
        state = self._read()
        self.address = str(state["address"])
        self._raylets: list[int] = list(state["raylets"])  # type: ignore[call-overload]

    def _read(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the cluster did not start"
        return dict(json.loads(line))

    def add_node(self) -> None:
        """Start a further node."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._raylets = list(self._read()["raylets"])  # type: ignore[call-overload]

    def kill_node(self) -> None:
        """Kill the raylet of the newest node; its workers end with it."""
        os.kill(self._raylets.pop(), signal.SIGKILL)

    def kill_worker(self, name: str, *, seconds: float = 120.0) -> int:
        """Kill a worker whose process has a title such as `ray::UnitWorker.embed`."""
        worker = wait_for(lambda: next(iter(self.workers(name)), None), seconds)
        worker.kill()
        return int(worker.pid)

    def workers(self, name: str) -> list[psutil.Process]:
        """Return the workers of a title that the raylets started."""
        found = []
        for pid in self._raylets:
            try:
                children = psutil.Process(pid).children(recursive=True)
                found += [child for child in children if name in " ".join(child.cmdline())]
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        """End all processes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def wait_for(find: Callable[[], Result | None], seconds: float) -> Result:
    """Return the first result that is not None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = find()
        if result is not None:
            return result
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds:g} seconds")


def serve(count: int) -> None:
    """Start the nodes, and print address and raylets after each change."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes = [cluster.head_node, *(cluster.add_node(**NODE) for _ in range(count - 1))]
    while True:
        raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
        state = json.dumps({"address": cluster.address, "raylets": raylets})
        sys.stdout.write(f"{state}\n")
        sys.stdout.flush()
        if not sys.stdin.readline():
            break
        nodes.append(cluster.add_node(**NODE))
    cluster.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
