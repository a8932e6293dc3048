"""Two runs, layer by layer: RSA of every layer of one with every layer of the other."""

from functools import partial
from pathlib import Path

import numpy as np

from stages.artefacts.runs import Run, open_run
from stages.artefacts.schema import Table
from stages.artefacts.tables import write_table
from stages.geometry.comparison import every_layer
from stages.geometry.pairs import choose_words
from stages.pipeline.command import print_table, writing
from stages.pipeline.errors import UserError
from stages.plotting.maps import layer_maps
from stages.plotting.style import themed

#: With three words there are three pairs, and a correlation of three numbers says next to nothing.
FEWEST_WORDS = 4


def compare(a: str, b: str, matrices: list[str], out: Path, theme: str) -> None:
    """Compare runs `a` and `b`: print a table, write `compare.csv` and `compare.png` to `out`."""
    with open_run(a) as first, open_run(b) as second:
        chosen = match(first, second)
        rsa = {
            name: every_layer(
                *(choose_words(run.similarity[name][:], len(run.record["words"]), words) for run, words in chosen)
            )
            for name in matrices
        }
        layers = first.layers, second.layers
    show(rsa, *layers)
    with writing(f"--out {out}:"):
        table = Table(tuple(rsa), wide=True, places=("layer_a", "layer_b"))
        out.mkdir(parents=True, exist_ok=True)
        write_table(out / "compare.csv", "compare.csv", rsa, *layers, table=table)
        themed(theme, partial(layer_maps, rsa, (a, b), layers), out / "compare.png", dpi=192)
    print(f"{out / 'compare.csv'} and {out / 'compare.png'} written")


def match(a: Run, b: Run) -> list[tuple[Run, list[int]]]:
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


def show(rsa: dict[str, np.ndarray], a: list[int], b: list[int]) -> None:
    """Print, for each layer of A, its RSA with the same layer of B and with the one most like it."""
    headings = [f"{name.upper()}, {what}" for name in rsa for what in ("same layer", "most alike")]
    rows = []
    for place, layer in enumerate(a):
        row = [str(layer)]
        for scores in rsa.values():
            same = f"{scores[place, b.index(layer)]:.2f}" if layer in b else ""
            row += [same, f"{scores[place].max():.2f} (layer {b[scores[place].argmax()]})"]
        rows.append(row)
    print_table(["layer of A", *headings], rows)
