"""Export the similarities of a run to other tools: rsatoolbox (HDF5), or pandas and R (CSV, Parquet).

The suffix of OUT decides. OUT.h5: dissimilarities, 1 - s for cosine and correlation and the distance for euclidean, as
rsatoolbox.rdm.load_rdm("OUT.h5") reads them: an RDM for each layer and matrix, named by `rdm_descriptors` layer, matrix
and run; words named by `pattern_descriptors` word and category. OUT.csv, OUT.parquet: similarities as they are, a row
for each layer and pair of words, a column for each matrix.
"""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from stages.artefacts.runs import SIMILARITY, Run, open_run
from stages.geometry.names import WITH_INPUT as MATRICES
from stages.geometry.pairs import members
from stages.geometry.similarity import dissimilarity
from stages.pipeline import messages
from stages.pipeline.command import parser, plain_errors, writing
from stages.pipeline.errors import UserError
from stages.pipeline.outputs import temporary
from stages.pipeline.progress import blocks, progress
from stages.pipeline.settings import check_layer

#: Pairs that are in memory at a time: with 10,000 words a layer has 50 million.
CHUNK = 1 << 20
#: Bytes for all that an HDF5 file holds beside the dissimilarities.
MARGIN = 1 << 20


def main() -> None:
    """Run the command."""
    options = parser("export", __doc__)
    options.add_argument("OUT", type=Path, help=f"file to write: {', '.join(WRITERS)}")
    given = "revision, experiment or file as for stages.compare; default: the workspace"
    options.add_argument("--run", default=SIMILARITY, help=given)
    options.add_argument("--matrix", choices=MATRICES, nargs="+", default=MATRICES, help="default: all; x is the input")
    options.add_argument("--layer", type=int, nargs="+", help="as the model numbers them, from 0; default: all")
    options.add_argument("--force", action="store_true", help="replace OUT if it is there")
    chosen = options.parse_args()
    with plain_errors("export", interrupted=messages.INTERRUPTED):
        export(chosen.OUT, chosen.run, chosen.matrix, chosen.layer, chosen.force)


def export(out: Path, name: str, matrices: list[str], layers: list[int] | None, force: bool) -> None:
    """Write the similarities of a run to `out`: the whole file or none."""
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise UserError(messages.NO_SUFFIX.format(out, ", ".join(WRITERS)))
    if out.exists() and not force:
        raise UserError(messages.THERE_ALREADY.format(out))
    matrices = [name for name in MATRICES if name in matrices]
    unfinished = temporary(out)
    with open_run(name) as run:
        for layer in layers or []:
            check_layer("--layer", layer, run.layers, run.name)
        chosen = sorted(set(layers)) if layers else run.layers
        try:
            with writing(str(out)):
                write(unfinished, run, matrices, chosen)
                unfinished.replace(out)
        finally:
            with suppress(OSError):  # on a read-only disk there is nothing to remove, and the error above says so
                unfinished.unlink()
    print(f"{out} written: {', '.join(matrices)} of {len(chosen)} layers, {len(run.record['words'])} words")


def write_rdms(path: Path, run: Run, matrices: list[str], layers: list[int]) -> None:
    """Write an RDMs file of rsatoolbox: a group for each kind of descriptor, a row of dissimilarities for each RDM.

    Texts are attributes of their group, not arrays: rsatoolbox reads text in arrays as ASCII.
    """
    import h5py

    names, pairs = [(layer, matrix) for layer in layers for matrix in matrices], run.similarity["q"].shape[1]
    if shutil.disk_usage(path.parent).free < 8 * len(names) * pairs + MARGIN:  # a full disk would crash HDF5
        raise OSError(errno.ENOSPC, "")
    with h5py.File(path, "w", libver=("v110", "v110")) as file:  # earlier formats hold no attribute above 64 KiB
        file.attrs["dissimilarity_measure"] = run.record["metric"]
        file.create_group("descriptors").attrs.update({key: run.record[key] for key in ("metric", "transform")})
        patterns = file.create_group("pattern_descriptors")
        patterns.attrs["word"], patterns.attrs["category"] = run.record["words"], run.record["categories"]
        rdms = file.create_group("rdm_descriptors")
        rdms["layer"] = [layer for layer, _ in names]
        rdms.attrs["matrix"], rdms.attrs["run"] = [matrix for _, matrix in names], [run.label] * len(names)
        rows = file.create_dataset("dissimilarities", (len(names), pairs), dtype="f8")
        for row, (layer, matrix) in enumerate(progress("export", "RDM")(names)):
            rows[row] = dissimilarity(run.similarity[matrix][run.layers.index(layer)], run.record["metric"])


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
        raise UserError(messages.NO_PYARROW) from None

    parts = (pyarrow.Table.from_pandas(part, preserve_index=False) for part in _tables(run, matrices, layers))
    first = next(parts)
    with ParquetWriter(path, first.schema) as file:
        file.write_table(first)
        for part in parts:
            file.write_table(part)


def _tables(run: Run, matrices: list[str], layers: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the rows a part at a time: layer by layer, pairs in their order."""
    words, categories = run.record["words"], run.record["categories"]
    named = {"word": pd.Categorical(words, words), "category": pd.Categorical(categories)}
    parts = [(layer, part) for layer in layers for part in blocks(run.similarity["q"].shape[1], CHUNK)]
    for layer, chosen in progress("export", "part")(parts):
        a, b = members(len(words), chosen.start, chosen.stop)
        columns = {"layer": np.full(len(a), layer)}
        columns |= {f"{what}_{s}": of[i] for what, of in named.items() for s, i in (("a", a), ("b", b))}
        columns["within"] = columns["category_a"] == columns["category_b"]
        columns |= {matrix: run.similarity[matrix][run.layers.index(layer), chosen] for matrix in matrices}
        yield pd.DataFrame(columns)


#: By suffix.
WRITERS: dict[str, Callable[[Path, Run, list[str], list[int]], None]] = {
    ".h5": write_rdms,
    ".hdf5": write_rdms,
    ".csv": write_csv,
    ".parquet": write_parquet,
}


if __name__ == "__main__":
    main()
