"""Several figures at once: drawing is most of what `dvc repro` waits for when only the look changes."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from stages.plotting.style import themed

#: More processes would hardly be faster with a dozen figures, and each holds a figure in memory.
MOST_PROCESSES = 4


def draw_all(theme: str, drawings: Mapping[Path, Callable[[], Figure]], dpi: int) -> None:
    """Draw figures in a theme and save them as PNG, on as many cores as there are (at most four).

    Parameters
    ----------
    theme : str
        Name of a style sheet in this folder.
    drawings : mapping of Path to callable
        Where to; gives the Figure, and can be pickled.
    dpi : int
        Dots an inch.
    """
    # Forking keeps what is imported; elsewhere than on Linux it is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    processes = min(os.cpu_count() or 1, len(drawings), MOST_PROCESSES)
    with ProcessPoolExecutor(processes, context, _leave_with_the_parent) as pool:
        try:
            futures = [pool.submit(themed, theme, draw, path, dpi) for path, draw in drawings.items()]
            for future in tqdm(as_completed(futures), total=len(futures), desc="figures", unit="figure"):
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
