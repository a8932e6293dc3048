"""Time a piece of work, and trace what it allocates."""

import time
import tracemalloc
from collections.abc import Callable


def measure(work: Callable[[], object], runs: int) -> tuple[list[float], float]:
    """Return the seconds of every run, and in MB the peak of what one more, untimed, allocates."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return seconds, peak
