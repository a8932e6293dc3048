"""Hand the similarities of a run to other tools: rsatoolbox (HDF5), or pandas and R (CSV, Parquet).

The suffix of OUT decides. OUT.h5: dissimilarities, 1 - s for cosine and correlation and the distance for euclidean, as
rsatoolbox.rdm.load_rdm("OUT.h5") reads them: an RDM for each layer and matrix, named by `rdm_descriptors` layer, matrix
and run; words named by `pattern_descriptors` word and category. OUT.csv, OUT.parquet: similarities as they are, a row
for each layer and pair of words, a column for each matrix.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.artefacts.runs import SIMILARITY, Run, open_run
from stages.geometry.names import WITH_INPUT as MATRICES
from stages.geometry.pairs import members
from stages.geometry.similarity import dissimilarity
from stages.pipeline.errors import UserError

#: Pairs that are in memory at a time: with 10,000 words a layer has 50 million.
CHUNK = 1 << 20


def main() -> None:
    """Run the command: exit code 1 and plain words for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("OUT", type=Path, help=f"file to write: {', '.join(WRITERS)}")
    parser.add_argument(
        "--run",
        default=SIMILARITY,
        help="revision, experiment or file as for stages.compare; default: this folder's run",
    )
    parser.add_argument("--matrix", choices=MATRICES, nargs="+", default=MATRICES, help="default: all; x is the input")
    parser.add_argument("--layer", type=int, nargs="+", help="counted from 0; default: all")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    arguments = parser.parse_args()
    try:
        export(arguments.OUT, arguments.run, arguments.matrix, arguments.layer, arguments.force)
    except UserError as error:
        print(f"export: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("export: interrupted, nothing was written", file=sys.stderr)
        sys.exit(130)


def export(out: Path, name: str, matrices: list[str], layers: list[int] | None, force: bool) -> None:
    """Write the similarities of a run to `out`, all or nothing."""
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise UserError(f"{out} must end in one of {', '.join(WRITERS)}: the suffix decides the format")
    if out.exists() and not force:
        raise UserError(f"{out} is there already: give another name, or --force to replace it")
    matrices = [name for name in MATRICES if name in matrices]
    unfinished = out.with_name(f".{out.name}.tmp")
    with open_run(name) as run:
        chosen = _layers(run, layers)
        try:
            write(unfinished, run, matrices, chosen)
            unfinished.replace(out)
        except OSError as error:
            raise UserError(f"{out} cannot be written: {error.strerror or error}") from None
        finally:
            unfinished.unlink(missing_ok=True)
    print(f"{out} written: {', '.join(matrices)} of {len(chosen)} layers, {len(run.record['words'])} words")


def _layers(run: Run, layers: list[int] | None) -> list[int]:
    if layers is None:
        return list(range(run.layers))
    if unknown := [layer for layer in layers if not 0 <= layer < run.layers]:
        raise UserError(f"--layer: {unknown[0]} is not a layer of {run.name}, which has 0 to {run.layers - 1}")
    return sorted(set(layers))


def write_rdms(path: Path, run: Run, matrices: list[str], layers: list[int]) -> None:
    """Write an RDMs file of rsatoolbox: a group for each kind of descriptor, a row of dissimilarities for each RDM.

    Texts are attributes of their group, not arrays: rsatoolbox reads text in arrays as ASCII.
    """
    import h5py

    names = [(layer, matrix) for layer in layers for matrix in matrices]
    with h5py.File(path, "w", libver=("v110", "v110")) as file:  # earlier formats hold no attribute above 64 KiB
        file.attrs["dissimilarity_measure"] = run.record["metric"]
        file.create_group("descriptors").attrs.update({key: run.record[key] for key in ("metric", "transform")})
        patterns = file.create_group("pattern_descriptors")
        patterns.attrs["word"], patterns.attrs["category"] = run.record["words"], run.record["categories"]
        rdms = file.create_group("rdm_descriptors")
        rdms["layer"] = [layer for layer, _ in names]
        rdms.attrs["matrix"], rdms.attrs["run"] = [matrix for _, matrix in names], [run.name] * len(names)
        rows = file.create_dataset("dissimilarities", (len(names), run.similarity["q"].shape[1]), dtype="f8")
        for row, (layer, matrix) in enumerate(tqdm(names, desc="export", unit="RDM", delay=1)):
            rows[row] = dissimilarity(run.similarity[matrix][layer], run.record["metric"])


def write_csv(path: Path, run: Run, matrices: list[str], layers: list[int]) -> None:
    """Write a CSV table; TRUE and FALSE are what both R and pandas take for logical."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for place, part in enumerate(_tables(run, matrices, layers)):
            part["within"] = np.where(part["within"], "TRUE", "FALSE")
            part.to_csv(file, index=False, header=place == 0, lineterminator="\n")


def write_parquet(path: Path, run: Run, matrices: list[str], layers: list[int]) -> None:
    """Write a Parquet table, words and categories as dictionaries (factors in R)."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ModuleNotFoundError:
        raise UserError("Parquet needs pyarrow: `pip install pyarrow`, or write a .csv") from None

    parts = (pyarrow.Table.from_pandas(part, preserve_index=False) for part in _tables(run, matrices, layers))
    first = next(parts)
    with ParquetWriter(path, first.schema) as file:
        file.write_table(first)
        for part in parts:
            file.write_table(part)


def _tables(run: Run, matrices: list[str], layers: list[int]) -> Iterator[pd.DataFrame]:
    """Give the rows a part at a time: layer by layer, pairs in their order."""
    words, categories = run.record["words"], run.record["categories"]
    kinds = sorted(set(categories))
    of_category = np.array([kinds.index(category) for category in categories])
    pairs = run.similarity["q"].shape[1]
    with tqdm(total=len(layers) * pairs, desc="export", unit="row", unit_scale=True, delay=1) as bar:
        for layer in layers:
            for first in range(0, pairs, CHUNK):
                last = min(first + CHUNK, pairs)
                a, b = members(len(words), first, last)
                part = {"layer": np.full(last - first, layer)}
                part |= {f"word_{side}": pd.Categorical.from_codes(i, words) for side, i in (("a", a), ("b", b))}
                of_a, of_b = of_category[a], of_category[b]
                part |= {
                    f"category_{side}": pd.Categorical.from_codes(i, kinds) for side, i in (("a", of_a), ("b", of_b))
                }
                part["within"] = of_a == of_b
                part |= {matrix: run.similarity[matrix][layer, first:last] for matrix in matrices}
                yield pd.DataFrame(part)
                bar.update(last - first)


#: By suffix.
WRITERS: dict[str, Callable[[Path, Run, list[str], list[int]], None]] = {
    ".h5": write_rdms,
    ".hdf5": write_rdms,
    ".csv": write_csv,
    ".parquet": write_parquet,
}


if __name__ == "__main__":
    main()
