"""Worker processes that draw data of the demo world."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_jobs(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """Call a function with each job, in processes of one thread; yield results in order.

    A single job runs in this process, because starting the others takes longer.

    Args:
        function: A function of a module, which other processes can import.
        jobs: The arguments.
    """
    if len(jobs) == 1:
        yield function(jobs[0])
        return
    with multiprocessing.get_context("spawn").Pool(None, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(function, jobs)
