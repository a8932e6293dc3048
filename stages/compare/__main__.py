"""Compare two captured runs: RSA of every layer of A with every layer of B, for Q, K and V.

With --matrix embedding: of their input embeddings, of the words alone.

A and B are each a file data/similarity.safetensors of a run, or a Git revision or DVC experiment of this repository
whose similarities are in DVC's cache or in a remote. Words are matched by name.

Without A and B: all experiments of this repository, their numbers and the settings in which they differ; with
--figure, their scores over depth, too, beside the range of random maps. With --keep NAME: the tables of the run in this
folder are kept in metrics/models/NAME, and the next `dvc repro` shows it among other models.
"""

from pathlib import Path

from stages.geometry.names import EMBEDDING, INPUT, MATRICES
from stages.pipeline.command import parser, plain_errors


def main() -> None:
    """Run the command."""
    options = parser("compare", __doc__)
    options.add_argument("A", nargs="?", help="data/similarity.safetensors, HEAD~1, the name of an experiment, ...")
    options.add_argument("B", nargs="?", help="likewise")
    every = (*MATRICES, INPUT, EMBEDDING)
    options.add_argument("--matrix", choices=every, nargs="+", default=MATRICES, help="default: q k v")
    options.add_argument("--out", type=Path, default=Path("plots/compare"), help="folder; default: plots/compare")
    options.add_argument("--theme", choices=("dark", "light"), default="dark", help="of the figure; default: dark")
    options.add_argument("--figure", metavar="FILE.png", type=Path, help="without A and B: draw all experiments")
    options.add_argument("--keep", metavar="NAME", help="without A and B: keep this folder's run")
    chosen = options.parse_args()
    if chosen.A is not None and chosen.B is None:
        options.error("give two runs to compare, or none to list the experiments")
    if EMBEDDING in chosen.matrix and len(chosen.matrix) > 1:
        options.error("--matrix embedding, which has no layers, goes alone")
    if chosen.figure and (chosen.A is not None or chosen.figure.suffix.lower() != ".png"):
        options.error("--figure FILE.png shows all experiments: give no runs, and a name that ends with .png")
    if chosen.keep is not None and chosen.A is not None:
        options.error("--keep NAME keeps this folder's run: give no runs")
    with plain_errors("compare"):
        if chosen.keep is not None:
            from stages.artefacts.kept import keep

            print(f"{keep(chosen.keep)}: kept; `dvc repro` shows it beside the others")
        elif chosen.A is not None:
            from stages.compare.layers import compare  # matplotlib and scipy, which the list need not wait for

            compare(chosen.A, chosen.B, chosen.matrix, chosen.out, chosen.theme)
        else:
            from stages.compare.experiments import collect, show

            runs, notes = collect()
            show(runs, notes)
            if chosen.figure:
                from stages.compare.figure import draw

                draw(runs, chosen.figure, chosen.theme)


if __name__ == "__main__":
    main()
