"""The notebook gives what it shows. It shares no code with the pipeline, and compares its numbers with the tables."""

import ast
import contextlib
import io
import json

import matplotlib as mpl
import pytest
from conftest import ROOT


def run(source: str, names: dict) -> tuple[str, str]:
    """Run a cell: what it prints, and the last expression's value as text."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "cell", "exec"), names)
        value = last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return printed.getvalue(), "" if value is None else repr(value)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_every_cell_gives_what_is_shown_and_what_the_tables_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "plots")
    mpl.use("agg")
    names: dict = {}
    cells = json.loads((ROOT / "plots/walkthrough.ipynb").read_text(encoding="utf-8"))["cells"]
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        shown = {"stdout": "", "value": ""}
        for output in cell["outputs"]:
            name, text = ("stdout", output["text"]) if "text" in output else ("value", output["data"]["text/plain"])
            shown[name] = "".join(text) if "<Figure size" not in "".join(text) else ""
        assert run("".join(cell["source"]), names) == (shown["stdout"], shown["value"])
    assert shown["stdout"] == "the tables hold the same numbers\n"
