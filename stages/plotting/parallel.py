"""Drawing side by side: most of what `dvc repro` waits for when only the look changes."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tqdm import tqdm

#: More processes would hardly be faster with a dozen figures, and each holds a figure in memory.
MOST_PROCESSES = 4


def share_out(tasks: Sequence[Callable[[], object]], name: str, unit: str) -> None:
    """Carry out tasks, which can be pickled, in processes of their own, with a bar that counts units of that name."""
    # Forking keeps what is imported; elsewhere than on Linux it is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    processes = min(os.cpu_count() or 1, len(tasks), MOST_PROCESSES)
    with ProcessPoolExecutor(processes, context, _leave_with_the_parent) as pool:
        try:
            futures = [pool.submit(task) for task in tasks]
            for future in tqdm(as_completed(futures), total=len(futures), desc=name, unit=unit, disable=None):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _leave_with_the_parent() -> None:
    """Leave Ctrl-C to the parent, which stops this process in order; and when it is killed, end too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
