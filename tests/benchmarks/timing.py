"""What the benchmarks share: the paths to `stages` and to the tests' helpers, a table, and a process of its own."""

import multiprocessing
import resource
import sys
import timeit
import tracemalloc
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[level]) for level in (1, 2)]


def table(title: str, ways: Mapping[str, Callable[[], object]], runs: int, times: int = 1) -> None:
    """Print each way's best and mean seconds, `times` as many, and in MB the peak of what one more run allocates."""
    print(f"\n{title:70}{'best s':>10}{'mean s':>10}{'MB':>8}")
    for name, work in ways.items():
        seconds = times * np.array(timeit.repeat(work, number=1, repeat=runs))
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"{name:70}{seconds.min():10.5f}{seconds.mean():10.5f}{peak:8.0f}", flush=True)


def alone(work: Callable[..., Any], *given: object) -> tuple[Any, float]:
    """Run a function in a process of its own; return what it returns, and that process's peak memory (GB)."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result(), pool.submit(_peak).result()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
