"""List the stages of the pipeline and the commands beside it: `python -m stages`."""

import ast
from importlib.resources import files

from stages.pipeline.settings import read_yaml
from stages.pipeline.stage import PIPELINE


def main() -> None:
    """Print each stage in the order of dvc.yaml, then each command, with the first line of its docstring."""
    root = files("stages")
    stages = {name: root / f"{name}.py" for name in read_yaml(PIPELINE)["stages"]}
    commands = {room.name: room / "__main__.py" for room in root.iterdir() if (room / "__main__.py").is_file()}
    print("Stages, run by `dvc repro` in this order (one by itself: `dvc repro NAME`):")
    _show(stages)
    print("\nCommands (`python -m stages.NAME --help`):")
    _show(dict(sorted(commands.items())))


def _show(modules: dict) -> None:
    for name, path in modules.items():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"  {name:12} {docstring.splitlines()[0]}")


if __name__ == "__main__":
    main()
