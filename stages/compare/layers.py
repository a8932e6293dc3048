"""Two runs, layer by layer: RSA of every layer of one with every layer of the other."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.artefacts.files import rounded
from stages.artefacts.runs import Run, open_run
from stages.geometry.comparison import every_layer
from stages.geometry.names import EMBEDDING
from stages.geometry.pairs import choose_words
from stages.pipeline import messages
from stages.pipeline.command import print_table, writing
from stages.pipeline.errors import UserError
from stages.plotting.maps import layer_maps
from stages.plotting.style import themed

#: With three words there are three pairs, and a correlation of three numbers says next to nothing.
FEWEST_WORDS = 4


def compare(a: str, b: str, matrices: list[str], out: Path, theme: str) -> None:
    """Compare runs `a` and `b`: print a table, write `compare.csv` and `compare.png` to `out`.

    Of embeddings, which have no layers, it prints one number.
    """
    with open_run(a) as first, open_run(b) as second:
        chosen = match(first, second)
        for run, name in ((run, name) for run in (first, second) for name in matrices):
            if name not in run.similarity.names:
                raise UserError(messages.NO_MATRIX_IN_RUN.format(run.name, name))
        rsa, layers = {}, (first.layers, second.layers)
        for name in matrices:
            both = (choose_words(run.similarity[name][:], len(run.record["words"]), words) for run, words in chosen)
            rsa[name] = every_layer(*both)
    if EMBEDDING in matrices:
        print(f"RSA of the input embeddings: {rsa[EMBEDDING].item():.2f}")
        return
    show(rsa, *layers)
    with writing(f"--out {out}:"):
        rows = pd.MultiIndex.from_product(layers, names=["layer_a", "layer_b"])
        table = pd.DataFrame({name: rounded(scores).ravel() for name, scores in rsa.items()}, rows)
        out.mkdir(parents=True, exist_ok=True)
        table.to_csv(out / "compare.csv", lineterminator="\n")
        themed(theme, partial(layer_maps, rsa, (a, b), layers), out / "compare.png", dpi=192)
    print(f"{out / 'compare.csv'} and {out / 'compare.png'} written")


def match(a: Run, b: Run) -> list[tuple[Run, list[int]]]:
    """Find the words that both runs have: for each run their positions, in the same order."""
    if a.record["metric"] != b.record["metric"]:
        raise UserError(messages.OTHER_METRIC.format(a.record["metric"], a.name, b.record["metric"], b.name))
    if a.record["transform"] != b.record["transform"]:
        print(f"note: similarity.transform differs: {a.record['transform']} in A, {b.record['transform']} in B")
    places = [{word: place for place, word in enumerate(run.record["words"])} for run in (a, b)]
    common = [word for word in places[0] if word in places[1]]
    if len(common) < FEWEST_WORDS:
        found = (len(common), FEWEST_WORDS, *map(len, places))
        raise UserError(messages.FEW_IN_COMMON.format(a.name, b.name, *found))
    print(f"A: {a.name}\nB: {b.name}\n{len(common)} words in common, {len(places[0])} in A, {len(places[1])} in B")
    return [(run, [at[word] for word in common]) for run, at in zip((a, b), places, strict=True)]


def show(rsa: dict[str, np.ndarray], a: list[int], b: list[int]) -> None:
    """Print, for each layer of A, its RSA with the same layer of B and with the one most like it."""
    columns = {"layer of A": map(str, a)}
    for name, scores in rsa.items():
        columns[f"{name.upper()}, same layer"] = [
            f"{row[b.index(layer)]:.2f}" if layer in b else "" for layer, row in zip(a, scores, strict=True)
        ]
        columns[f"{name.upper()}, most alike"] = [f"{row.max():.2f} (layer {b[row.argmax()]})" for row in scores]
    print_table([*columns], zip(*columns.values(), strict=True))
