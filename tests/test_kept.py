"""Kept runs of other models: what is kept comes back, is drawn and counted; mistakes are told."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, InProcess

from stages.artefacts.files import read_json, write_json
from stages.artefacts.kept import FOLDER, keep, read_kept
from stages.artefacts.tables import read_table
from stages.compare import __main__ as compare
from stages.findings.claims import of_post
from stages.findings.summary import shelf
from stages.geometry.names import EVERY
from stages.pipeline.errors import UserError
from stages.plotting.others import models


def test_a_run_is_kept_by_one_command_and_shown_by_the_next_run(tiny_stage: InProcess, in_process: Callable) -> None:
    """That the next run of DVC shows it, test_rerun proves."""
    root = tiny_stage.project.root
    for run in (root / FOLDER).glob("*/"):
        shutil.rmtree(run)
    tiny_stage.project.set(model__seed=3)
    stages = tiny_stage.project.pipeline
    tiny_stage.log_of(*(name for name in stages if name not in ("figures", "matrices", "report")))
    for _ in range(2):  # again: replaced
        said = "metrics/models/tiny-3: kept; `dvc repro` shows it beside the others\n"
        assert in_process(compare, "--keep", "tiny-3") == (0, said, "")
    (one,) = read_kept(root / FOLDER)
    assert one.about["settings"] == {"model.seed": 3}
    assert (one.about["words"], one.about["overview"]["layers"]) == (6, 2)
    captured = read_json(root / "data/capture.json") | {"quantisation": "Q4_1"}
    (root / "data/capture.json").unlink()  # not through a link into DVC's cache
    write_json(root / "data/capture.json", captured)
    tiny_stage.project.set(similarity__transform="center", rsa__comparison="spearman")
    in_process(compare, "--keep", "tiny-5")
    full, other = read_table(root / "metrics/nulls.csv"), read_kept(root / FOLDER)[1]
    for some, transform, comparison in ((one, "none", "pearson"), (other, "center", "spearman")):
        by = {"rsa": comparison, "d": "pearson"}
        for (measure, of, rung), cells in some.nulls.items():
            for column, values in full[measure, of, transform, by[measure], rung].items():
                np.testing.assert_array_equal(cells[column], values)
        assert {names[0] for names in some.nulls} == {"rsa", "d"}
    assert other.about["quantisation"] == "Q4_1"
    assert [*shelf([other._replace(summary=other.summary | {"rsa_pearson": 0.5})])["rsa"]] == [0.5]  # as of the maps
    shutil.rmtree(root / FOLDER / "tiny-5")
    before = {path: path.read_bytes() for path in (root / FOLDER).rglob("*.*")}
    for name in ("tiny-3", "tiny-4"):  # as on a disk that is full
        keeping = f"ulimit -f 1; exec {sys.executable} -m stages.compare --keep {name}"
        done = tiny_stage.project.run("sh", "-c", keeping, check=False)
        assert (done.returncode, done.stderr) == (1, "compare: File too large\n")
        assert {path: path.read_bytes() for path in (root / FOLDER).rglob("*.*")} == before
    tiny_stage.project.set(nulls__enabled=False)
    tiny_stage.log_of("nulls", "claims")
    in_process(compare, "--keep", "without")
    assert [len(other.nulls) > 0 for other in read_kept(root / FOLDER)] == [True, False]
    tiny_stage.log_of("claims")
    rows = pd.read_csv(root / "metrics/models.csv").set_index("model")[["above", "inside", "below"]]
    assert rows.sum(axis=1, skipna=False).to_dict() == {"tiny-3": 6, "without": pytest.approx(np.nan, nan_ok=True)}


def test_every_kept_run_of_the_repository_is_in_the_table_and_the_figure() -> None:
    kept = read_kept(ROOT / FOLDER)
    assert len(kept) >= 4
    table = pd.read_csv(ROOT / "metrics/models.csv")
    pd.testing.assert_frame_equal(shelf(kept), table)
    assert list(shelf([])) == list(table)
    for one, row in zip(kept, table.to_dict("records"), strict=True):
        every = one.verdicts.query("measure == 'rsa' and of == 'every' and rung == 'spectrum'")
        agreed = every[(every["transform"] == EVERY) & (every["comparison"] == EVERY)].iloc[0]
        assert (row["above"], row["below"]) == (agreed["above"], agreed["below"])
        assert [row[key] for key in ("rsa", "d_v", "held")] == [one.summary[key] for key in ("rsa", "d_v", "claims")]
        assert row["judged"] == sum(one.claims[name]["holds"] is not None for name in of_post())
    shown = [*kept, kept[0]]  # their last row is not full
    panels = [axis for axis in models(shown).axes if axis.lines]
    assert [axis.get_title() for axis in panels if axis.get_title()] == [one.name for one in shown]
    assert len(panels) == 2 * len(shown)
    assert not [axis for axis in models([]).axes if axis.lines]
    for one in kept:
        lines = next(axis for axis in panels if axis.get_title() == one.name).lines
        np.testing.assert_array_equal(lines[0].get_ydata(), one.rsa["qk"])
        np.testing.assert_allclose(lines[0].get_xdata(), np.linspace(0, 1, len(one.rsa["qk"])))


def test_what_cannot_be_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/b", "..", ".hidden", ""):
        with pytest.raises(UserError, match="cannot name a folder"):
            keep(name)
    with pytest.raises(UserError, match=r"no run to keep, metrics/rsa.csv is not there"):
        keep("mine")
    assert not list(tmp_path.iterdir())
