"""python -m stages.export: read back by rsatoolbox, pandas and pyarrow; mistakes told, nothing half written."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, parse
from scipy.spatial.distance import pdist, squareform
from tensor_files import write_tensors

from stages.export import __main__ as export
from stages.export import writers
from stages.geometry.similarity import METRICS, Similar

WORDS = ["Bär", "moon", "star", "apple", "lime", "NASA", "дом"]
CATEGORIES = ["a", "b", "b", "c", "c", "b", "a"]
LAYERS, UNITS = 3, 12
VECTORS = {name: np.random.default_rng(i).normal(size=(LAYERS, len(WORDS), UNITS)) for i, name in enumerate("qkvx")}


def save(path: Path, metric: str = "cosine", **record: object) -> Path:
    tensors = {name: Similar(len(WORDS), metric, "none")(vectors) for name, vectors in VECTORS.items()}
    record = {"words": WORDS, "categories": CATEGORIES, "metric": metric, "transform": "none"} | record
    write_tensors(path, tensors, record, np.float64)
    return path


@pytest.fixture
def run(in_process: Callable) -> Callable[..., tuple[int, str, str]]:
    return partial(in_process, export)


@pytest.mark.parametrize(("metric", "suffix"), [("cosine", ".h5"), ("correlation", ".hdf5"), ("euclidean", ".h5")])
def test_rsatoolbox_reads_what_it_computes_itself(toolbox, metric, suffix, tmp_path, run) -> None:
    out = tmp_path / f"rdms{suffix}"
    code, said, _ = run(out, "--run", save(tmp_path / "run", metric))
    assert code == 0
    assert "q, k, v, x of 3 layers, 7 words" in said
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
    assert rdms.subset_pattern("category", "b").pattern_descriptors["word"] == ["moon", "star", "NASA"]
    assert toolbox.rdm.concat(rdms, rdms).n_rdm == 2 * LAYERS * 4
    rdms.save(str(tmp_path / "again.pkl"), file_type="pkl")


def test_a_hybrids_layers_are_those_of_the_model(tmp_path, run) -> None:
    path = save(tmp_path / "run", layers=[3, 7, 11])
    out = tmp_path / "pairs.csv"
    assert run(out, "--run", path, "--layer", 11, 3)[0] == 0
    rows = pd.read_csv(out)
    assert list(rows["layer"].unique()) == [3, 11]
    expected = Similar(len(WORDS), "cosine", "none")(VECTORS["q"])
    np.testing.assert_allclose(rows["q"].to_numpy().reshape(2, -1), expected[[0, 2]], atol=1e-12)
    code, _, error = run(tmp_path / "b.csv", "--run", path, "--layer", 1)
    assert code == 1
    assert f"--layer: 1 is not a layer of {path}, which has 3, 7, 11" in error


def test_scores_that_rsatoolbox_computes_are_those_of_this_pipeline(toolbox, tiny: Project, run) -> None:
    tiny.run(sys.executable, "-m", "stages.export", "rdms.h5", "--matrix", "k", "q")
    rdms = toolbox.rdm.load_rdm(str(tiny.root / "rdms.h5"))
    assert rdms.rdm_descriptors["matrix"] == ["q", "k"] * 2
    recorded = parse((tiny.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]["similarity"]["outs"][0]["md5"]
    assert set(rdms.rdm_descriptors["run"]) == {f"{tiny.root.name} {recorded[:8]}"}
    file = tiny.root / "data/similarity.safetensors"
    (file.rename(tiny.root / "cached"), file.symlink_to(tiny.root / "cached"))
    tiny.run(sys.executable, "-m", "stages.export", "linked.h5", "--matrix", "k", "q")
    assert toolbox.rdm.load_rdm(str(tiny.root / "linked.h5")).rdm_descriptors == rdms.rdm_descriptors
    table = pd.read_csv(tiny.root / "metrics/rsa.csv")
    for layer in range(2):
        of_layer = rdms.subset("layer", layer)
        scores = toolbox.rdm.compare(of_layer.subset("matrix", "q"), of_layer.subset("matrix", "k"), method="corr")
        assert scores.item() == pytest.approx(table["qk"][layer], abs=1e-6)


def read(path: Path) -> pd.DataFrame:
    """Read a table as the README says."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    said = (ROOT / "stages/export/README.md").read_text(encoding="utf-8")
    (line,) = [line for line in said.splitlines() if "pandas.read_csv" in line]
    return eval(line.partition("= ")[2].replace("pairs.csv", str(path)), {"pandas": pd})


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_text_that_means_something_to_pandas_stays_text(suffix, tmp_path, run) -> None:
    words, kinds = ["NA", "null", "nan", "TRUE", "1e5", "007", "a,b"], ["NA", "NA", "None", "None", "NA", "NA", "7"]
    path, out = save(tmp_path / "run", words=words, categories=kinds), tmp_path / f"out{suffix}"
    assert run(out, "--run", path)[0] == 0
    if suffix == ".h5":
        with h5py.File(out) as file:
            assert [list(file["pattern_descriptors"].attrs[key]) for key in ("word", "category")] == [words, kinds]
        return
    table = read(out)
    for side, places in zip("ab", np.triu_indices(7, 1), strict=True):
        for column, names in (("word", words), ("category", kinds)):
            assert list(table[f"{column}_{side}"]) == [names[i] for i in places] * LAYERS


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_table_holds_each_pair_by_name_and_every_digit(metric, suffix, tmp_path, monkeypatch, run) -> None:
    monkeypatch.setattr(writers, "CHUNK", 4)
    out = tmp_path / f"pairs{suffix}"
    assert run(out, "--run", save(tmp_path / "run", metric), "--layer", 2, 0, 2, "--matrix", "v", "q")[0] == 0
    table = read(out)
    assert list(table) == ["layer", "word_a", "word_b", "category_a", "category_b", "within", "q", "v"]
    assert table["within"].dtype == bool
    assert list(table["layer"]) == [0] * 21 + [2] * 21
    category = dict(zip(WORDS, CATEGORIES, strict=True))
    for side in "ab":
        assert list(table[f"category_{side}"]) == [category[word] for word in table[f"word_{side}"]]
    assert list(table["within"]) == [category[r.word_a] == category[r.word_b] for r in table.itertuples()]
    for name in "qv":
        matrices = [squareform(values) for values in METRICS[metric](VECTORS[name])]
        expected = [matrices[r.layer][WORDS.index(r.word_a), WORDS.index(r.word_b)] for r in table.itertuples()]
        assert list(table[name]) == expected


def test_without_pyarrow_parquet_is_refused_in_plain_words(tmp_path, monkeypatch, run) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, said = run(tmp_path / "pairs.parquet", "--run", save(tmp_path / "run"))
    assert code == 1
    assert said == "export: Parquet needs pyarrow: `pip install pyarrow`, or write a .csv\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


MISTAKES = {
    "another suffix": (["pairs.xlsx"], "pairs.xlsx must end in one of .h5, .hdf5, .csv, .parquet"),
    "a layer that is not there": (["pairs.csv", "--layer", 0, 3], "--layer: 3 is not a layer of "),
    "a file that is there": (["there.csv"], "there.csv is there already: give another name, or --force"),
    "a folder that is not there": (["nowhere/pairs.csv"], "cannot be written: No such file or directory"),
    "a file for a folder": (["there.csv/pairs.csv"], "there.csv/pairs.csv cannot be written: Not a directory"),
    "not similarities": (["pairs.csv", "--run", "activations"], "activations holds no similarities"),
    "no run yet": (["pairs.csv", "--run", "data/similarity.safetensors"], "is not there: run `dvc repro`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_and_nothing_written(mistake, tmp_path, monkeypatch, run) -> None:
    arguments, expected = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "run")
    write_tensors(tmp_path / "activations", {"attn_0_q": np.ones((2, 3))})
    (tmp_path / "there.csv").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, said = run(*arguments, *([] if "--run" in arguments else ["--run", "run"]))
    assert code == 1
    assert said.startswith("export: ")
    assert expected in said
    assert len(said.splitlines()) <= 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_is_nearly_full_is_told_before_hdf5_meets_its_end(tmp_path, monkeypatch, run) -> None:
    """HDF5 cannot close a file that it could not write: the interpreter would crash."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    code, _, said = run(tmp_path / "out.h5", "--run", save(tmp_path / "run"))
    assert (code, said) == (1, f"export: {tmp_path / 'out.h5'} cannot be written: No space left on device\n")
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
def test_force_replaces_and_an_interruption_leaves_what_was_there(suffix, tmp_path, monkeypatch, run) -> None:
    source, out = save(tmp_path / "run"), tmp_path / f"out{suffix}"
    out.write_bytes(b"mine")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writers, "members" if suffix == ".csv" else "dissimilarity", interrupt)
        code, _, said = run(out, "--run", source, "--force")
    assert (code, said) == (130, "export: interrupted, nothing was written\n")
    assert out.read_bytes() == b"mine"
    assert run(out, "--run", source, "--force")[0] == 0
    assert out.stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"out{suffix}", "run"]
