"""The whole pipeline on the embedded model, in a temporary clone: seconds of `dvc repro` in three situations.

python tests/benchmarks/pipeline.py [--runs 3]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from conftest import Project, copy_repository  # noqa: E402 - lies beside the tests


def seconds(project: Project, *arguments: str) -> tuple[float, list[str]]:
    """Run `dvc repro`; give the seconds, and the stages that ran."""
    start = time.perf_counter()
    ran = project.repro(*arguments)
    return time.perf_counter() - start, ran


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="the best of so many; default: 3")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        project = copy_repository(Path(temporary) / "repository")
        themes = ["light", "dark"] * arguments.runs

        def redrawn() -> tuple[float, list[str]]:
            project.set(figures__theme=themes.pop(0))
            return seconds(project)

        print(f"{'':34}{'seconds':>9}  stages that ran")
        for name, work in (
            ("dvc repro --force", lambda: seconds(project, "--force")),
            ("dvc repro, nothing to do", lambda: seconds(project)),
            ("dvc repro, another figures.theme", redrawn),
        ):
            best, ran = min((work() for _ in range(arguments.runs)), key=lambda run: run[0])
            print(f"{name:34}{best:9.1f}  {', '.join(ran) or 'none'}", flush=True)


if __name__ == "__main__":
    main()
