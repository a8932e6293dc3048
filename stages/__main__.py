"""List the stages of the pipeline and the commands beside it: `python -m stages`."""

import ast
from collections.abc import Mapping
from pathlib import Path

from stages.pipeline.command import plain_errors
from stages.pipeline.settings import read_yaml
from stages.pipeline.stage import PIPELINE


def main() -> None:
    """Print each stage in the order of dvc.yaml, as described there, then each command, as its docstring begins."""
    with plain_errors("stages"):
        stages = read_yaml(PIPELINE)["stages"]
        print("Stages, run by `dvc repro` in this order (one by itself: `dvc repro NAME`):")
        _show({name: stage["desc"] for name, stage in stages.items()})
        print("\nCommands (`python -m stages.NAME --help`):")
        commands = sorted(Path(__file__).parent.glob("*/__main__.py"))
        _show({path.parent.name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in commands})


def _show(entries: Mapping[str, str]) -> None:
    for name, description in entries.items():
        print(f"  {name:12} {description.splitlines()[0]}")


if __name__ == "__main__":
    main()
