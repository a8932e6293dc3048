"""Export the similarities of a run to other tools: rsatoolbox (HDF5), or pandas and R (CSV, Parquet).

The suffix of OUT decides. OUT.h5: dissimilarities, 1 - s for cosine and correlation and the distance for euclidean, as
rsatoolbox.rdm.load_rdm("OUT.h5") reads them: an RDM for each layer and matrix, named by `rdm_descriptors` layer, matrix
and run; words named by `pattern_descriptors` word and category. OUT.csv, OUT.parquet: similarities as they are, a row
for each layer and pair of words, a column for each matrix.
"""

from contextlib import suppress
from pathlib import Path

from stages.artefacts.runs import SIMILARITY, open_run
from stages.export.writers import WRITERS
from stages.geometry.names import WITH_INPUT as MATRICES
from stages.pipeline import messages
from stages.pipeline.command import parser, plain_errors, writing
from stages.pipeline.errors import UserError
from stages.pipeline.outputs import temporary
from stages.pipeline.settings import check_layer


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


if __name__ == "__main__":
    main()
