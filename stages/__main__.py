"""List the stages of the pipeline and the commands beside it: `python -m stages`."""

import ast
from collections.abc import Mapping
from pathlib import Path

from stages.pipeline.command import plain_errors
from stages.pipeline.settings import read_yaml
from stages.pipeline.stage import PIPELINE

#: The stages that show what the post shows, in the order in which to read them; the others go beyond it.
POST = ("check", "capture", "similarity", "correlation", "rsa", "separability", "figures")


def main() -> None:
    """Print the stages of the post and those beyond it, as dvc.yaml describes them, then the commands."""
    with plain_errors("stages"):
        stages = {name: stage["desc"] for name, stage in read_yaml(PIPELINE)["stages"].items()}
        print("Stages, which `dvc repro` runs (one, with what it depends on: `dvc repro NAME`).")
        _show("The post, in the order in which to read it:", {name: stages.pop(name) for name in POST})
        _show("Beyond the post:", stages)
        commands = sorted(Path(__file__).parent.glob("*/__main__.py"))
        texts = {path.parent.name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in commands}
        _show("Commands (`python -m stages.NAME --help`):", texts)


def _show(heading: str, entries: Mapping[str, str]) -> None:
    print(f"\n{heading}", *(f"  {name:12} {text.splitlines()[0]}" for name, text in entries.items()), sep="\n")


if __name__ == "__main__":
    main()
