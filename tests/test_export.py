"""python -m stages.export: read back by rsatoolbox, pandas and pyarrow; mistakes told, nothing half written."""

import hashlib
import shutil
import sys
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, assert_told, parse
from scipy.spatial.distance import pdist
from tensor_files import write_tensors

from stages.export import __main__ as export
from stages.geometry.similarity import METRICS, Similar

#: Text that means something to pandas, and letters that are not ASCII.
WORDS, CATEGORIES = ["NA", "null", "1e5", "007", "TRUE", "a,b", "дом"], ["NA", "None", "None", "7", "7", "None", "NA"]
LAYERS, UNITS = 3, 12
VECTORS = {name: np.random.default_rng(i).normal(size=(LAYERS, len(WORDS), UNITS)) for i, name in enumerate("qkvx")}


def save(path: Path, metric: str = "cosine", **record: object) -> Path:
    tensors = {name: Similar(len(WORDS), metric, "none")(vectors) for name, vectors in VECTORS.items()}
    record = {"words": WORDS, "categories": CATEGORIES, "metric": metric, "transform": "none"} | record
    write_tensors(path, tensors, record, np.float64)
    return path


@pytest.mark.parametrize(("metric", "suffix"), [("cosine", ".h5"), ("correlation", ".hdf5"), ("euclidean", ".h5")])
def test_rsatoolbox_reads_what_it_computes_itself(toolbox, metric, suffix, tmp_path, in_process) -> None:
    out = tmp_path / f"rdms{suffix}"
    code, said, _ = in_process(export, out, "--run", save(tmp_path / "run", metric))
    assert (code, "q, k, v, x of 3 layers, 7 words" in said) == (0, True)
    rdms = toolbox.rdm.load_rdm(str(out))
    assert rdms.pattern_descriptors["word"] == WORDS
    assert rdms.pattern_descriptors["category"] == CATEGORIES
    assert rdms.rdm_descriptors["layer"] == [layer for layer in range(LAYERS) for _ in "qkvx"]
    assert rdms.rdm_descriptors["matrix"] == list("qkvx") * LAYERS
    digest = hashlib.md5((tmp_path / "run").read_bytes()).hexdigest()
    assert set(rdms.rdm_descriptors["run"]) == {f"run {digest[:8]}"}
    assert rdms.dissimilarity_measure == metric
    assert rdms.descriptors == {"metric": metric, "transform": "none"}
    for layer, name in product(range(LAYERS), "qkvx"):
        found, vectors = rdms.subset("layer", layer).subset("matrix", name).dissimilarities[0], VECTORS[name][layer]
        if metric == "cosine":
            expected = pdist(vectors, "cosine")
        else:
            expected = toolbox.rdm.calc_rdm(toolbox.data.Dataset(vectors), method=metric).dissimilarities[0]
        if metric == "euclidean":  # rsatoolbox gives the mean over units of squared differences
            expected = np.sqrt(expected * UNITS)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert rdms.subset_pattern("category", "None").pattern_descriptors["word"] == ["null", "1e5", "a,b"]
    assert toolbox.rdm.concat(rdms, rdms).n_rdm == 2 * LAYERS * 4
    rdms.save(str(tmp_path / "again.pkl"), file_type="pkl")


def test_a_run_is_named_by_its_folder_and_the_digest_in_the_lock(tiny: Project) -> None:
    recorded = parse((tiny.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]["similarity"]["outs"][0]["md5"]
    file = tiny.root / "data/similarity.safetensors"
    (file.rename(tiny.root / "cached"), file.symlink_to(tiny.root / "cached"))  # DVC's cache, where it has no such name
    tiny.run(sys.executable, "-m", "stages.export", "rdms.h5", "--matrix", "k", "q")
    with h5py.File(tiny.root / "rdms.h5") as rdms:
        assert set(rdms["rdm_descriptors"].attrs["run"]) == {f"{tiny.root.name} {recorded[:8]}"}
        assert list(rdms["rdm_descriptors"].attrs["matrix"]) == ["q", "k"] * 2


def read(path: Path) -> pd.DataFrame:
    """Read a table as the README says."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    said = (ROOT / "stages/export/README.md").read_text(encoding="utf-8")
    (line,) = [line for line in said.splitlines() if "pandas.read_csv" in line]
    return eval(line.partition("= ")[2].replace("pairs.csv", str(path)), {"pandas": pd})


@pytest.mark.parametrize(("suffix", "by"), [(".csv", "csv"), (".parquet", "pyarrow")])
@pytest.mark.parametrize("metric", METRICS)
def test_a_table_holds_each_pair_by_name_and_every_digit(metric, suffix, by, tmp_path, monkeypatch, in_process) -> None:
    """Of a hybrid, whose layers are not counted from 0."""
    pytest.importorskip(by, reason="`pip install -r tests/benchmarks/requirements.txt` brings it")
    monkeypatch.setattr(export, "CHUNK", 4)
    out, path = tmp_path / f"pairs{suffix}", save(tmp_path / "run", metric, layers=[3, 7, 11])
    assert in_process(export, out, "--run", path, "--layer", 11, 3, 11, "--matrix", "v", "q")[0] == 0
    table = read(out)
    assert list(table) == ["layer", "word_a", "word_b", "category_a", "category_b", "within", "q", "v"]
    assert table["within"].dtype == bool
    assert list(table["layer"]) == [3] * 21 + [11] * 21
    category = dict(zip(WORDS, CATEGORIES, strict=True))
    for pair, row in zip([*combinations(WORDS, 2)] * 2, table.itertuples(), strict=True):
        assert (row.word_a, row.word_b) == pair
        assert (row.category_a, row.category_b) == (category[pair[0]], category[pair[1]])
        assert row.within == (row.category_a == row.category_b)
    for name in "qv":
        np.testing.assert_array_equal(table[name], METRICS[metric](VECTORS[name])[[0, 2]].ravel())


MISTAKES = {
    "another suffix": (["pairs.xlsx"], "pairs.xlsx must end in one of .h5, .hdf5, .csv, .parquet"),
    "a layer that is not there": (["pairs.csv", "--layer", 0, 3], "--layer: 3 is not a layer of run, which has 0 to 2"),
    "a file that is there": (["there.csv"], "there.csv is there already: give another name, or --force"),
    "a folder that is not there": (["nowhere/pairs.csv"], "cannot be written: No such file or directory"),
    "a file for a folder": (["there.csv/pairs.csv"], "there.csv/pairs.csv cannot be written: Not a directory"),
    "not similarities": (["pairs.csv", "--run", "activations"], "activations holds no similarities"),
    "Parquet without pyarrow": (["a.parquet"], "Parquet needs pyarrow: `pip install pyarrow`, or write a .csv\n"),
    "a disk that is nearly full": (["out.h5"], "out.h5 cannot be written: No space left on device"),
    "no run yet": (["pairs.csv", "--run", "data/similarity.safetensors"], "is not there: run `dvc repro`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_and_nothing_written(mistake, tmp_path, monkeypatch, in_process) -> None:
    arguments, expected = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    # HDF5 cannot close a file that it could not write: the interpreter would crash.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    save(tmp_path / "run")
    write_tensors(tmp_path / "activations", {"attn_0_q": np.ones((2, 3))})
    (tmp_path / "there.csv").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, said = in_process(export, *arguments, *([] if "--run" in arguments else ["--run", "run"]))
    assert_told("export", expected, code, said)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
def test_force_replaces_and_an_interruption_leaves_what_was_there(suffix, tmp_path, monkeypatch, in_process) -> None:
    source, out = save(tmp_path / "run"), tmp_path / f"out{suffix}"
    out.write_bytes(b"mine")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(export, "members" if suffix == ".csv" else "dissimilarity", interrupt)
        code, _, said = in_process(export, out, "--run", source, "--force")
    assert (code, said) == (130, "export: interrupted, nothing was written\n")
    assert out.read_bytes() == b"mine"
    assert in_process(export, out, "--run", source, "--force")[0] == 0
    assert out.stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out{suffix}", "run"]
