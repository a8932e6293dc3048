"""Compare two captured runs: RSA of every layer of A with every layer of B, for Q, K and V.

A and B are each a file data/similarity.safetensors of a run, or a Git revision or DVC experiment of this repository
whose similarities are in DVC's cache or in a remote. Words are matched by name.
"""

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as Printed

from stages.artefacts.runs import open_run
from stages.artefacts.tables import Table, write_table
from stages.geometry.comparison import every_layer
from stages.geometry.names import MATRICES
from stages.geometry.pairs import choose_words
from stages.pipeline.errors import UserError
from stages.plotting.maps import layer_maps
from stages.plotting.style import themed

#: With three words there are three pairs, and a correlation of three numbers says next to nothing.
FEWEST_WORDS = 4


@dataclass(frozen=True)
class Similarities:
    """A run's similarities: by matrix, shape (layers, pairs); and what they are of."""

    name: str
    similarity: dict[str, np.ndarray]
    record: dict[str, Any]


def main() -> None:
    """Run the command: exit code 1 and plain words for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("A", help="data/similarity.safetensors, HEAD~1, the name of an experiment, ...")
    parser.add_argument("B", help="likewise")
    parser.add_argument("--matrix", choices=MATRICES, nargs="+", default=MATRICES, help="default: all")
    parser.add_argument("--out", type=Path, default=Path("plots/compare"), help="folder; default: plots/compare")
    parser.add_argument("--theme", choices=("dark", "light"), default="dark", help="of the map; default: dark")
    arguments = parser.parse_args()
    try:
        compare(arguments.A, arguments.B, arguments.matrix, arguments.out, arguments.theme)
    except (UserError, FloatingPointError) as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("compare: interrupted", file=sys.stderr)
        sys.exit(130)


def compare(a: str, b: str, matrices: list[str], out: Path, theme: str) -> None:
    """Compare runs `a` and `b`: print a table, write `compare.csv` and `compare.png` to `out`."""
    runs = load(a), load(b)
    chosen = match(*runs)
    rsa = {
        name: every_layer(
            *(choose_words(run.similarity[name], len(run.record["words"]), words) for run, words in chosen)
        )
        for name in matrices
    }
    show(rsa)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_table(out / "compare.csv", "compare.csv", rsa, Table(tuple(rsa), places=("layer_a", "layer_b")))
        themed(theme, partial(layer_maps, rsa, (a, b)), out / "compare.png", dpi=192)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from None
    print(f"{out / 'compare.csv'} and {out / 'compare.png'} written")


def load(name: str) -> Similarities:
    """Read a run as a whole."""
    with open_run(name) as run:
        return Similarities(name, {matrix: run.similarity[matrix][:] for matrix in MATRICES}, run.record)


def match(a: Similarities, b: Similarities) -> list[tuple[Similarities, list[int]]]:
    """Find the words that both runs have: for each run their positions, in the same order."""
    if a.record["metric"] != b.record["metric"]:
        raise UserError(
            f"the metrics differ: {a.record['metric']} in {a.name}, {b.record['metric']} in {b.name}\n"
            "run one of them again with the other's similarity.metric"
        )
    if a.record["transform"] != b.record["transform"]:
        print(f"note: similarity.transform differs: {a.record['transform']} in A, {b.record['transform']} in B")
    places = [{word: place for place, word in enumerate(run.record["words"])} for run in (a, b)]
    common = [word for word in places[0] if word in places[1]]
    if len(common) < FEWEST_WORDS:
        raise UserError(
            f"{a.name} and {b.name} have {len(common)} words in common, a comparison needs {FEWEST_WORDS}: "
            f"{len(places[0])} words in the one, {len(places[1])} in the other"
        )
    print(f"A: {a.name}\nB: {b.name}\n{len(common)} words in common, {len(places[0])} in A, {len(places[1])} in B")
    return [(run, [at[word] for word in common]) for run, at in zip((a, b), places, strict=True)]


def show(rsa: dict[str, np.ndarray]) -> None:
    """Print, for each layer of A, its RSA with the same layer of B and with the one most like it."""
    headings = [f"{name.upper()}, {what}" for name in rsa for what in ("same layer", "most alike")]
    table = Printed("layer of A", *headings, box=box.SIMPLE_HEAD)
    for layer in range(len(next(iter(rsa.values())))):
        cells = []
        for scores in rsa.values():
            same = f"{scores[layer, layer]:.2f}" if layer < scores.shape[1] else ""
            cells += [same, f"{scores[layer].max():.2f} (layer {scores[layer].argmax()})"]
        table.add_row(str(layer), *cells)
    console = Console()
    if not console.is_terminal:  # rich would fold the table to 80 columns in a log
        console.width = 120
    console.print(table)


if __name__ == "__main__":
    main()
