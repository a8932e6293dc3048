"""All experiments in one figure, drawn as Figure 18 draws kept runs."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from stages.artefacts.files import read_json
from stages.artefacts.kept import Kept, layers_in
from stages.artefacts.tables import read_table
from stages.compare.experiments import WORKSPACE, Experiment
from stages.pipeline import messages
from stages.pipeline.command import writing
from stages.pipeline.errors import UserError
from stages.plotting.others import models
from stages.plotting.style import themed

METRICS = Path("metrics")
TABLES, SUMMARY = ("rsa.csv", "separability.csv", "nulls.csv"), "summary.json"


def draw(runs: Sequence[Experiment], path: Path, theme: str) -> None:
    """Draw all runs that have scores, and name those that have none.

    A `UserError` if no run has any, or the figure cannot be written.
    """
    read = [scores_of(run) for run in runs]
    if not (drawn := [one for one in read if one]):
        raise UserError(messages.NO_SCORES)
    if left := [run.name for run, one in zip(runs, read, strict=True) if not one]:
        print(f"not in the figure, as tables of theirs are missing: {', '.join(left)}")
    dpi = min(192, 40_000 // len(drawn))  # of 1.6 inches a run, and Matplotlib draws at most 2 ** 16 rows of pixels
    with writing(f"--figure {path}:"):
        path.parent.mkdir(parents=True, exist_ok=True)
        themed(theme, partial(models, drawn), path, dpi)
    print(f"{path} written")


def scores_of(run: Experiment) -> Kept | None:
    """Read of the workspace, or of a commit, what the figure draws; None where a file of it is missing or another.

    Nulls are those of the run's own transform and comparison (of d, which has none, Pearson's).
    """
    from dvc.scm import SCM  # a third of a second

    with tempfile.TemporaryDirectory() as copies:
        folder = METRICS if run.revision == WORKSPACE else Path(copies)
        try:
            if run.revision != WORKSPACE:
                files = SCM(".").get_fs(run.revision)
                for name in (*TABLES, SUMMARY):
                    (folder / name).write_bytes(files.cat_file((METRICS / name).as_posix()))
            rsa, separability, ladder = (read_table(folder / name, layers_in(folder / name)) for name in TABLES)
            summary = read_json(folder / SUMMARY)
        except (FileNotFoundError, ValueError, UserError):
            return None
    transform = run.settings.get("similarity.transform")
    own = {"rsa": (transform, run.settings.get("rsa.comparison")), "d": (transform, "pearson")}
    nulls = {(*key[:2], key[4]): cells for key, cells in ladder.items() if key[2:4] == own.get(key[0])}
    return Kept(run.name, {}, rsa, separability, nulls, summary, {}, pd.DataFrame())
