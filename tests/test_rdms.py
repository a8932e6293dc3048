"""Other geometries of the words: what they explain, how sure that is, where they come from, and mistakes in them."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import InProcess, Project
from oracle import standardised
from scipy.optimize import nnls
from scipy.spatial.distance import squareform

from stages.artefacts.candidates import KINDS, Known, Missing, read_candidates
from stages.artefacts.files import read_json
from stages.geometry.comparison import COMPARISONS
from stages.geometry.pairs import condense, within_category
from stages.pipeline.errors import UserError
from stages.statistics.bootstrap import resample_words
from stages.statistics.candidates import against_candidates, partition
from stages.statistics.permutation import draw_orders, permute_candidates, permute_labels

FOLDER = Path("data/rdms")
WORDS = ["galaxy", "comet", "planet", "sofa", "lamp", "chair", "pear"]
CATEGORIES = ["space"] * 3 + ["furniture"] * 3 + ["fruit"]


@pytest.mark.parametrize("given", [False, True])
def test_shares_of_variance_are_those_of_least_squares(given: bool) -> None:
    """R² and its fall without each candidate, by NumPy, and of weights ≥ 0, by SciPy."""
    x = standardised(np.random.default_rng(0).normal(size=(3, 200)))
    x[2] = -x[0] if given else standardised(x[2] + x[0])
    y = standardised(np.stack([x[0] - 0.3 * x[1], x[1] - x[2]]) + np.random.default_rng(1).normal(size=(2, 200)))
    r = np.corrcoef([*y, *x])
    for nonnegative, solve in ((False, np.linalg.lstsq), (True, nnls)):
        explained, semipartial = partition(r[:2, 2:], r[2:, 2:], nonnegative)
        for place, target in enumerate(y):
            weights = solve(x.T, target)[0]
            whole = 1 - np.mean(np.square(target - weights @ x))
            assert explained[place] == pytest.approx(whole)
            for one in range(3):
                others = np.delete(x, one, axis=0)
                fall = whole - 1 + np.mean(np.square(target - solve(others.T, target)[0] @ others))
                found = semipartial[place, one]
                assert found * abs(found) == pytest.approx(np.sign(weights[one]) * fall, abs=1e-9)


def population(rng: np.random.Generator, words: int) -> tuple[dict, dict, list[str]]:
    """Draw words whose geometry is .6 categories, .4 frequency and .5 noise of their own, in units of their SDs."""
    categories = rng.permutation(np.arange(words) % 3).astype(str).tolist()
    count, noise = rng.normal(size=words), rng.normal(size=(words, 4))
    candidates = {
        "categories": within_category(categories).astype(float),
        "frequency": condense(-np.abs(count[:, None] - count)),
    }
    sds = np.sqrt([2 / 9, 2 - 4 / np.pi, 4])
    parts = np.array([*candidates.values(), condense(noise @ noise.T)]) / sds[:, None]
    return dict.fromkeys("qkv", (np.array([0.6, 0.4, 0.5]) @ parts)[None]), candidates, categories


def score(rng: np.random.Generator, similarity: dict, candidates: dict, categories: list[str], draws: int) -> dict:
    counts, orders = resample_words(categories, draws, rng)[0], draw_orders(len(categories), draws, rng, False)
    return against_candidates(similarity, candidates, categories, orders, counts, 0.05)


def test_planted_geometries_come_back_within_their_intervals() -> None:
    """What 400 words give is the truth, near enough; of 40 words, 95 % of intervals should hold it."""
    rng = np.random.default_rng(0)
    truth = {key: cells["value"][0] for key, cells in score(rng, *population(rng, 400), 20).items()}
    assert truth["unique", "q", "categories"] == pytest.approx(0.36 / 0.77, abs=0.02)
    assert truth["unique", "q", "frequency"] == pytest.approx(0.16 / 0.77, abs=0.02)
    asked = [key for key in truth if key[0] in ("rsa", "unique", "explained") and key[1] == "q"]
    held = {key: [] for key in asked}
    for _ in range(120):
        found = score(rng, *population(rng, 40), 250)
        for key in asked:
            held[key].append(found[key]["low"][0] <= truth[key] <= found[key]["high"][0])
    assert min(map(np.mean, held.values())) > 0.87, {key: np.mean(some) for key, some in held.items()}


def test_a_sample_of_words_in_which_candidates_are_the_same_or_flat() -> None:
    """Categories of people who put one word elsewhere: as in a sample without it, it then explains nothing alone."""
    rng = np.random.default_rng(5)
    similarity, candidates, categories = population(rng, 12)
    other = within_category(["alone", *categories[1:]])
    both = {"own": candidates["categories"], "other": other.astype(float)}
    found = score(rng, similarity, both, categories, 99)
    assert all(np.isfinite(cells["high"]).all() for cells in found.values())
    assert found["unique", "q", "other"]["low"][0] == 0
    both["other"] = (np.arange(66) == 0).astype(float)
    with pytest.raises(FloatingPointError, match="other tells too few words apart"):
        score(rng, similarity, both, categories, 99)


def test_p_are_uniform_where_there_is_nothing_and_those_of_labels_for_categories() -> None:
    rng, categories = np.random.default_rng(2), list("aaaabbbbccc")
    *unrelated, other = condense(np.array([np.corrcoef(rng.normal(size=(11, 5))) for _ in range(401)]))
    similarity, orders = {"q": np.array(unrelated)}, draw_orders(11, 999, rng, False)
    others = {"other": other[None], "categories": within_category(categories)[None].astype(float)}
    found = permute_candidates(similarity, others, orders)
    p = found["rsa", "q", "other"]["p"]
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)
    of_labels = permute_labels(similarity, categories, orders)["d", "q"]
    np.testing.assert_array_equal(found["rsa", "q", "categories"]["p"], of_labels["p"])


THEIRS = {"pearson": "corr", "spearman": "rho-a", "whitened_correlation": "corr_cov", "whitened_cosine": "cosine_cov"}


@pytest.mark.parametrize("name", THEIRS)
def test_comparisons_are_those_of_rsatoolbox(toolbox: ModuleType, name: str) -> None:
    similarities = np.random.default_rng(3).random((2, 5, 45))
    expected = toolbox.rdm.compare(*(toolbox.rdm.RDMs(1 - some) for some in similarities), THEIRS[name])
    assert COMPARISONS[name].score(*similarities) == pytest.approx(np.diag(expected))


@pytest.fixture
def known(tmp_path, monkeypatch) -> Known:
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    (tmp_path / "counts.csv").write_text("word,text_count\n" + "".join(f"{w},{2**i}\n" for i, w in enumerate(WORDS)))
    captured = {"words": WORDS, "categories": CATEGORIES, "token_ids": [[1]] * 6 + [[1, 2]]}
    return Known(captured, SimpleNamespace(names=set()), tmp_path / "counts.csv", FOLDER)


DISTANCES = squareform(np.arange(1.0, 22.0))


def square_csv(values: np.ndarray = DISTANCES, words: list[str] = WORDS, separator: str = ",") -> str:
    order = np.random.default_rng(0).permutation(len(words))
    rows = [["", *(words[i] for i in order)], *([w, *values[i, order]] for i, w in enumerate(words))]
    return "\n".join(separator.join(map(str, row)) for row in rows) + "\n"


def long_csv(name: str = "dissimilarity", pairs: slice = slice(None), extra: str = "") -> str:
    rows = [f"{WORDS[i]},{WORDS[j]},{DISTANCES[i, j]}" for i in range(7) for j in range(i)][pairs]
    return "\n".join([f"a,b,{name}", *rows, extra]) + "\n"


def saved(save: Callable, *arrays: np.ndarray, **named: np.ndarray) -> bytes:
    save(file := io.BytesIO(), *arrays, **named)
    return file.getvalue()


def read(known: Known, file: str, holds: str = "auto") -> tuple[list[int], dict[str, np.ndarray]]:
    return read_candidates({"mine": SimpleNamespace(file=file, holds=holds)}, known)


def test_every_format_gives_the_same_geometry_whatever_its_order(known: Known) -> None:
    (FOLDER / "square.csv").write_text(square_csv())
    (FOLDER / "long.csv").write_text(long_csv())
    np.savez(FOLDER / "file.npz", words=WORDS[::-1], distances=condense(DISTANCES[::-1, ::-1]))
    np.savez(FOLDER / "alike.npz", words=WORDS, similarities=5 - DISTANCES)
    (FOLDER / "excel.csv").write_bytes(square_csv(separator=", ").replace("\n", "\r\n").encode("utf-8-sig"))
    (FOLDER / "more.csv").write_text(long_csv(extra="galaxy,zebra,9\nzebra,yak,1"))
    for file in ("square.csv", "long.csv", "file.npz", "alike.npz", "excel.csv", "more.csv"):
        places, found = read(known, file)
        assert places == [*range(7)]
        assert np.ptp(found["mine"] + condense(DISTANCES)) == pytest.approx(0), file
    (FOLDER / "some.csv").write_text(square_csv(DISTANCES[:6, :6], WORDS[:6]))
    assert read(known, "some.csv")[0] == [*range(6)]


def test_an_rdm_that_rsatoolbox_saves_is_read(known: Known, toolbox) -> None:
    rdms = toolbox.rdm.RDMs(condense(DISTANCES)[None], pattern_descriptors={"conds": WORDS})
    rdms.save(str(FOLDER / "saved.h5"), file_type="hdf5")
    assert read(known, "saved.h5")[1]["mine"] == pytest.approx(-condense(DISTANCES))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("no.csv", None, "there is no file no.csv in data/rdms"),
        ("a.txt", "", "must end in one of .csv, .npz, .h5, .hdf5"),
        ("a.csv", square_csv(separator=";"), "columns separated by commas are needed"),
        ("a.csv", square_csv(words=[*"abcdefg"]), "it holds none of the run's words, but 'a'; 'b'; 'c'; and 4 more"),
        ("a.csv", square_csv(DISTANCES[:3, :3], WORDS[:3]), "3 of 7 words are in all of mine: too few"),
        ("a.csv", square_csv(DISTANCES + np.triu(np.ones((7, 7)))), "two different numbers for 'galaxy' and 'comet'"),
        ("a.csv", square_csv(np.where(DISTANCES[1, 2] == DISTANCES, np.nan, DISTANCES)), "no number for"),
        ("a.csv", square_csv(words=["galaxy", *WORDS[:-1]]), "'galaxy' is in it twice"),
        ("a.csv", square_csv(DISTANCES + np.diag(np.arange(7))), "add holds: distances, or similarities"),
        ("a.csv", long_csv("score"), "add holds: distances, or similarities"),
        ("a.csv", long_csv(pairs=slice(3, None)), "no number for"),
        ("a.csv", long_csv(extra="galaxy,comet,9"), "two different numbers for"),
        ("a.csv", long_csv().replace(",", ",1,"), "neither a square, of which"),
        ("a.csv", square_csv() + "1,2\n", "line 9 has 2 cells, the first line 8"),
        ("a.csv", square_csv().encode("utf-16"), "a.csv, line 1: not UTF-8 text"),
        ("a.csv", square_csv() + '"', "a.csv, line 9: not valid CSV"),
        ("a.csv", square_csv(DISTANCES * 1e200), "no number for"),
        ("a.csv", square_csv(1 + 1e-13 * DISTANCES), "all 21 pairs of words are alike"),
        ("a.npz", b"no archive", "is no RDM"),
        ("a.npz", saved(np.save, DISTANCES), "is no RDM"),
        ("a.npz", saved(np.savez, words=WORDS, distances=DISTANCES)[:900], "is no RDM"),
        ("a.npz", saved(np.savez, words=WORDS, distances=DISTANCES + 1j), "distances are complex128, no real numbers"),
        ("a.npz", saved(np.savez, words=WORDS, distances=DISTANCES, similarities=DISTANCES), "distances or simil"),
        ("a.npz", saved(np.savez, words=WORDS, distances=np.ones(4)), "4 is not the number of pairs"),
        ("a.h5", b"no file", "is no RDM"),
    ],
)
def test_mistakes_in_a_file_are_one_line(known: Known, file: str, content: str | bytes | None, said: str) -> None:
    if content is not None:
        (FOLDER / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Exception, match=re.escape(said)) as told:
        read(known, file)
    assert type(told.value).__name__ == "UserError"
    assert "\n" not in str(told.value)


def test_an_experiment_beside_the_workspace_says_why_it_lacks_a_file(known: Known, tmp_path: Path, monkeypatch) -> None:
    (there := tmp_path / ".dvc/tmp/exps/a").mkdir(parents=True)
    monkeypatch.chdir(there)
    with pytest.raises(UserError, match=r"there is no file no.csv in data/rdms\nwith --temp .* what Git tracks"):
        read(known, "no.csv")


def test_kinds_that_need_no_file(known: Known, capsys) -> None:
    places, found = read_candidates({name: name for name in KINDS}, known)
    assert places == [*range(7)]
    assert set(found) == {"categories", "frequency", "spelling", "length", "tokens"}
    assert "rdms.candidates.embeddings is left out: the model has no input embeddings" in capsys.readouterr().out
    assert found["frequency"][:2] == pytest.approx([-np.log(2), -2 * np.log(2)])
    assert found["spelling"][0] == pytest.approx(1 - 6 / 6)  # galaxy and comet: all six letters change
    assert found["tokens"][-1] == -1
    known.counts.write_text("word,count\ngalaxy,1\n")
    with pytest.raises(Missing, match=r"lacks 6 of 7 words: comet; planet"):
        KINDS["frequency"](known)
    for rows, said in {
        "galaxy,0": "count of 'galaxy' is '0', no number above 0",
        "galaxy,inf": "count of 'galaxy' is 'inf'",
        'galaxy,"1,000"': "count of 'galaxy' is '1,000'",
        "galaxy,1\ngalaxy,2": "'galaxy' is in it twice",
    }.items():
        known.counts.write_text(f"word,count\nzebra,0\n{rows}\n")
        with pytest.raises(Exception, match=rf"rdms\.counts: .* {said}"):
            KINDS["frequency"](known)
    with pytest.raises(Exception, match="all are left out: name another"):
        read_candidates({"mine": "embeddings"}, known)


def test_in_the_pipeline(tiny_stage: InProcess, tiny: Project) -> None:
    """A file, a layer of a run and its embeddings, beside what needs none; and two that are the same are refused."""
    words = read_json(tiny.root / "data/capture.json")["words"]
    rng = np.random.default_rng(0)
    np.savez(tiny.root / FOLDER / "people.npz", words=words, similarities=np.corrcoef(rng.normal(size=(len(words), 9))))
    run = {"run": "data/similarity.safetensors", "matrix": "v", "layer": 1}
    tiny.set(rdms__candidates={"categories": "categories", "people": {"file": "people.npz"}, "v1": run})
    tiny_stage.log_of("check", "rdms")
    table = pd.read_csv(tiny.root / "metrics/rdms.csv").set_index(["layer", "measure", "of", "rdm"])
    assert table["value"][1, "rsa", "v", "v1"] == pytest.approx(1)
    assert table["value"][1, "explained", "v", "all"] == pytest.approx(1)
    d = pd.read_csv(tiny.root / "metrics/inference.csv").set_index(["layer", "measure", "of"])
    assert table["p"][0, "rsa", "q", "categories"] == pytest.approx(d["p"][0, "d", "q"], abs=0.05)
    assert (table["status"].isna() | (table["status"] == "not applicable")).all()
    for wrong, said in (
        ({"a": "categories", "s": "spelling", "b": "categories"}, "one of a, b follows from the others: leave it out"),
        ({"a": {**run, "run": "nowhere"}}, "nowhere is neither a file nor a Git revision"),
        ({"a": {**run, "layer": 7}}, "rdms.candidates.a.layer: 7 is not a layer of"),
        ({"a": "rhymes"}, "rdms.candidates.a: 'rhymes' is neither one of categories, frequency"),
        ({"all": "categories"}, "nothing here can be called all"),
        ({"é": "categories", "e\u0301": "spelling"}, "the name 'é' is there twice"),
    ):
        tiny.set(rdms__candidates=wrong)
        code, errors = tiny_stage.run("rdms")
        assert (code, said in errors) == (1, True), errors
