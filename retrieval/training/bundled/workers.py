"""Data of the demo world is drawn in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

Job = TypeVar("Job")
Drawn = TypeVar("Drawn")


def draw(work: Callable[[Job], Drawn], jobs: Sequence[Job]) -> Iterator[Drawn]:
    """Do jobs in order, in processes of one thread each; a single one is not worth starting them.

    Args:
        work: A function of a module, so that other processes find it.
        jobs: What it is called with, one after the other.
    """
    if len(jobs) == 1:
        yield work(jobs[0])
        return
    with multiprocessing.get_context("spawn").Pool(None, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(work, jobs)
