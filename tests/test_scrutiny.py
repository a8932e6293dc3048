"""The stages inference and controls, and the claims on them: against other tables, plain formulas, known answers."""

import json
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, InProcess, Project
from ruamel.yaml import YAML
from safetensors.numpy import load_file
from scipy import stats
from scipy.spatial.distance import pdist

from stages.artefacts.results import Results
from stages.artefacts.tables import read_table
from stages.findings.claims import Verdict
from stages.findings.evidence import TESTS, position
from stages.models.capture import capture
from stages.statistics.bootstrap import bootstrap, resample_words
from stages.statistics.partial import PRODUCTS, against_input

PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
LABELS = [category for category, words in PARAMS["words"].items() for _ in words]
WITHIN = np.array([LABELS[i] == LABELS[j] for i in range(len(LABELS)) for j in range(i + 1, len(LABELS))])
PAIRS = ("qk", "qv", "kv")


# Against the other tables and plain formulas


@pytest.fixture(scope="module")
def tables(embedded: Project) -> dict:
    folder = embedded.root / "metrics"
    return {
        **{name: read_table(folder / f"{name}.csv") for name in ("inference", "nulls", "spectra", "robustness")},
        "controls": Results(lambda path: embedded.root / path).controls,
        **{name: pd.read_csv(folder / f"{name}.csv") for name in ("rsa", "separability")},
    }


def d_of(similarity: np.ndarray) -> float:
    inside, outside = similarity[WITHIN], similarity[~WITHIN]
    pooled = ((len(inside) - 1) * inside.var(ddof=1) + (len(outside) - 1) * outside.var(ddof=1)) / (len(WITHIN) - 2)
    return (inside.mean() - outside.mean()) / np.sqrt(pooled)


def test_values_are_those_of_the_posts_tables(tables: dict) -> None:
    inference, controls = tables["inference"], tables["controls"]
    for pair in PAIRS:
        for measure, column in (("rsa", pair), ("rsa_within", f"{pair}_within"), ("rsa_across", f"{pair}_across")):
            np.testing.assert_allclose(inference[measure, pair]["value"], tables["rsa"][column], atol=2e-6)
        np.testing.assert_array_equal(controls["rsa", pair]["value"], tables["rsa"][pair])
    for name in "qkv":
        np.testing.assert_allclose(inference["d", name]["value"], tables["separability"][name], atol=2e-6)
        np.testing.assert_array_equal(controls["d", name]["value"], tables["separability"][name])


def test_no_number_stands_in_two_tables(embedded: Project) -> None:
    keys = ["layer", "measure", "of"]
    one, other = (pd.read_csv(embedded.root / f"metrics/{name}.csv") for name in ("inference", "controls"))
    assert one.merge(other, on=keys).empty


def test_intervals_of_both_stages_are_of_the_same_resamples(embedded: Project) -> None:
    """The scores that both stages resample get one interval, whichever further scores are taken with them."""
    similarity = {name: values[:2] for name, values in load_file(embedded.root / "data/similarity.safetensors").items()}
    counts, _ = resample_words(LABELS, 50, np.random.default_rng(0))
    alone, beside = (bootstrap(similarity, LABELS, counts, 0.05, *more) for more in ((), (against_input, PRODUCTS)))
    assert set(alone) < set(beside)
    for names, cells in alone.items():
        for column, values in cells.items():
            np.testing.assert_allclose(values, beside[names][column], rtol=1e-12)


def test_only_what_is_tested_has_a_p(tables: dict) -> None:
    alpha = 1 / (PARAMS["inference"]["permutations"] + 1)
    for (measure, _), cell in tables["inference"].items():
        if measure in ("rsa", "d"):
            assert (cell["p"] >= round(alpha, 6)).all()
            assert (cell["p_familywise"] >= cell["p"]).all()
            assert (cell["p_familywise"] <= 1).all()
        else:
            assert "p" not in cell


def test_controls_and_trained_rungs_equal_plain_formulas(embedded: Project, tables: dict) -> None:
    activations = load_file(embedded.root / "data/activations.safetensors")
    controls, nulls = tables["controls"], tables["nulls"]
    for layer in (0, 5):
        vectors = {name: activations[f"attn_{layer}_{name}"][:, -1].astype(float) for name in "qkvx"}
        similarity = {name: 1 - pdist(x, "cosine") for name, x in vectors.items()}
        r = {a + b: np.corrcoef(similarity[a], similarity[b])[0, 1] for a in "qkv" for b in "qkvx"}
        plain = {n: 1 - pdist(vectors[n] - activations[f"attn_{layer}_{n}_bias"], "cosine") for n in "qkv"}
        assert controls["d_of_input", "x"]["value"][layer] == pytest.approx(d_of(similarity["x"]), abs=1e-5)
        for name in "qkv":
            assert controls["rsa_to_input", name]["value"][layer] == pytest.approx(r[name + "x"], abs=1e-5)
            assert nulls["d", name, "unbiased"]["value"][layer] == pytest.approx(d_of(plain[name]), abs=1e-5)
            assert nulls["d", name, "trained"]["value"][layer] == pytest.approx(d_of(similarity[name]), abs=1e-5)
            for kind, pairs in (("within", WITHIN), ("across", ~WITHIN)):
                sd = similarity[name][pairs].std(ddof=1)
                assert controls[f"sd_{kind}", name]["value"][layer] == pytest.approx(sd, abs=1e-5)
        for a, b in PAIRS:
            left = np.sqrt((1 - r[a + "x"] ** 2) * (1 - r[b + "x"] ** 2))
            partial = (r[a + b] - r[a + "x"] * r[b + "x"]) / left
            assert controls["partial_rsa", a + b]["value"][layer] == pytest.approx(partial, abs=1e-5)
            unbiased = np.corrcoef(plain[a], plain[b])[0, 1]
            assert nulls["rsa", a + b, "unbiased"]["value"][layer] == pytest.approx(unbiased, abs=1e-5)
            assert nulls["rsa", a + b, "trained"]["value"][layer] == pytest.approx(r[a + b], abs=1e-5)


def test_drawn_rungs_are_those_of_whole_matrices(embedded: Project, tables: dict) -> None:
    """Gaussian projections, and the model's own weights behind rotations of the whole input, one by one."""
    activations = load_file(embedded.root / "data/activations.safetensors")
    stored = load_file(embedded.root / "data/models/gpt2-mini/model.safetensors")
    rng, nulls = np.random.default_rng(5), tables["nulls"]
    for layer in (0, 4):
        x = activations[f"attn_{layer}_x"][:, -1].astype(float)
        units = x.shape[1]
        name = f"h.{layer}.attn.c_attn.weight"
        w = np.split(stored[name if name in stored else f"transformer.{name}"].astype(float), 3, axis=1)
        drawn: dict[tuple, list] = {}
        for _ in range(60):
            turns = [np.linalg.qr(rng.normal(size=(units, units)))[0] for _ in range(2)]
            maps = {
                "gaussian": [rng.normal(size=(units, units)) for _ in range(2)],
                "spectrum": [turns[0] @ w[0], turns[1] @ w[1]],
                "orientation": [turns[0] @ w[0], turns[0] @ w[1]],
            }
            for rung, (q, k) in maps.items():
                first, second = (1 - pdist(x @ matrix, "cosine") for matrix in (q, k))
                drawn.setdefault(("rsa", "qk", rung), []).append(np.corrcoef(first, second)[0, 1])
                if rung != "orientation":
                    drawn.setdefault(("d", "q", rung), []).append(d_of(first))
        for names, values in drawn.items():
            assert nulls[names]["value"][layer] == pytest.approx(np.mean(values), abs=0.6 * np.std(values)), names
            assert nulls[names]["low"][layer] < np.mean(values) < nulls[names]["high"][layer]


def test_spectra_are_those_of_the_singular_values(embedded: Project, tables: dict) -> None:
    stored = load_file(embedded.root / "data/models/gpt2-mini/model.safetensors")
    (name,) = [name for name in stored if name.endswith("h.3.attn.c_attn.weight")]
    w = dict(zip("qkv", np.split(stored[name].astype(float), 3, axis=1), strict=True))
    for matrix, values in w.items():
        s = np.linalg.svd(values, compute_uv=False)
        expected = (s**2).sum() ** 2 / (s**4).sum()
        assert tables["spectra"][f"{matrix}_participation"][3] == pytest.approx(expected, rel=1e-4)
    for a, b in PAIRS:
        first, second = w[a] @ w[a].T, w[b] @ w[b].T
        expected = np.trace(first @ second) / np.sqrt(np.trace(first @ first) * np.trace(second @ second))
        assert tables["spectra"][f"{a}{b}_overlap"][3] == pytest.approx(expected, rel=1e-4)
        sizes = [tables["spectra"][f"{m}_participation"][3] for m in (a, b)]
        random = np.sqrt(np.prod(sizes)) / len(w[a])
        assert tables["spectra"][f"{a}{b}_overlap_random"][3] == pytest.approx(random, rel=1e-4)


def test_robustness_equals_plain_loops(embedded: Project, tables: dict) -> None:
    activations = load_file(embedded.root / "data/activations.safetensors")
    for layer in (1, 6):
        for transform in ("none", "center", "zscore"):
            similarity = {}
            for name in "qkv":
                x = activations[f"attn_{layer}_{name}"][:, -1].astype(float)
                x = x if transform == "none" else x - x.mean(axis=0)
                x = x / x.std(axis=0) if transform == "zscore" else x
                similarity[name] = 1 - pdist(x, "cosine")
                assert tables["robustness"][f"{name}_{transform}"][layer] == pytest.approx(
                    d_of(similarity[name]), abs=1e-4
                )
            for a, b in PAIRS:
                x, y = similarity[a], similarity[b]
                expected = {"pearson": np.corrcoef(x, y)[0, 1], "spearman": stats.spearmanr(x, y).statistic}
                for comparison, score in expected.items():
                    found = tables["robustness"][f"{a}{b}_{transform}_{comparison}"][layer]
                    assert found == pytest.approx(score, abs=1e-4)


# Settings


def log_of(tiny_stage: InProcess, *stages: str) -> str:
    """Run stages that must not fail, and give what they print."""
    log = ""
    for stage in stages:
        code, said = tiny_stage.run(stage)
        assert code == 0, said
        log += tiny_stage.log
    return log


def read_json(tiny_stage: InProcess, path: str) -> dict:
    return json.loads((tiny_stage.project.root / path).read_text(encoding="utf-8"))


def test_stages_that_are_switched_off_write_a_row_and_say_so(
    tiny_stage: InProcess, draw_only: Callable[..., None]
) -> None:
    draw_only("fig10_ladder", "fig11_controls", "fig12_robustness")
    root = tiny_stage.project.root
    tiny_stage.project.set(inference__enabled=False, controls__enabled=False, nulls__enabled=False)
    log = log_of(tiny_stage, "inference", "nulls", "controls", "claims", "figures")
    tables = dict.fromkeys(("nulls", "spectra", "head_nulls"), "nulls")
    tables |= {"inference": "inference", "controls": "controls", "robustness": "controls"}
    for table, section in tables.items():
        assert f"{table}.csv: {section}.enabled is false" in log
        header, *lines = (root / f"metrics/{table}.csv").read_text(encoding="utf-8").splitlines()
        assert lines == ["," * header.count(",") + "off"]
    claims = read_json(tiny_stage, "metrics/claims.json")
    assert all(claims[name] == {"measured": None, "post": s.post, "holds": None} for name, s in TESTS.items())
    summary = read_json(tiny_stage, "metrics/summary.json")
    assert "rsa_against_spectrum is not judged: nulls.enabled is false" in summary["notes"]
    assert not [note for note in summary["notes"] if note.startswith("inference.csv")]
    assert "rsa_null" not in summary
    figures = [root / f"plots/figures/{name}.png" for name in ("fig10_ladder", "fig11_controls", "fig12_robustness")]
    assert max(figure.stat().st_size for figure in figures) < 20_000  # a line of text


def test_cells_that_cannot_be_computed_have_their_reason(tiny_stage: InProcess) -> None:
    """Six words: few pairs within categories fall into the bins of those across."""
    tiny_stage.project.set(controls__bins=1000)
    log = log_of(tiny_stage, "controls", "claims")
    controls = read_table(tiny_stage.project.root / "metrics/controls.csv")
    empty = sorted({measure for (measure, _), cell in controls.items() if np.isnan(cell["value"]).any()})
    assert empty
    assert all("_matched_" in name for name in empty)
    summary = read_json(tiny_stage, "metrics/summary.json")
    for name in empty:
        assert [note for note in summary["notes"] if note in log and re.search(rf"controls.csv: no .*{name}", note)]
    assert ": too few pairs can be matched" in log


def test_transforms_take_their_statistics_from_the_reference_words(tiny_stage: InProcess) -> None:
    project = tiny_stage.project
    words = ["sofa", "door", "table"]
    project.set(similarity__transform="center", similarity__reference_words=words, similarity__metric="correlation")
    for stage in ("capture", "similarity", "controls"):
        code, said = tiny_stage.run(stage)
        assert code == 0, said
    activations, reference, similarity = (
        load_file(project.root / f"data/{name}.safetensors") for name in ("activations", "reference", "similarity")
    )
    assert json.loads((project.root / "data/capture.json").read_text(encoding="utf-8"))["reference_words"] == words
    for name in "qkvx":
        x, y = (tensors[f"attn_1_{name}"][:, -1].astype(float) for tensors in (activations, reference))
        assert y.shape == (3, x.shape[1])
        expected = 1 - pdist(x - y.mean(axis=0), "correlation")
        np.testing.assert_allclose(similarity[name][1], expected, atol=1e-5)
    robustness = read_table(project.root / "metrics/robustness.csv")
    r = [np.corrcoef(*rows)[0, 1] for rows in zip(similarity["q"], similarity["k"], strict=True)]
    np.testing.assert_allclose(robustness["qk_center_pearson"], r, atol=1e-5)


def test_reference_words_must_be_words_of_the_model(tiny_stage: InProcess) -> None:
    tiny_stage.project.set(similarity__reference_words=["sofa", "zyzzyva"])
    code, said = tiny_stage.run("capture")
    assert code == 1
    assert "capture: similarity.reference_words of several tokens: zyzzyva" in said


def test_how_prompts_were_run_is_told_of_the_words_not_of_the_reference(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = iter(["the words' way", "the reference's"])

    def run(*arguments: object) -> tuple[str, dict]:
        capture(*arguments)
        return next(ways), {}

    monkeypatch.setattr("stages.capture.capture", run)
    tiny_stage.project.set(similarity__reference_words=["sofa", "lamp"])
    log_of(tiny_stage, "capture")
    assert read_json(tiny_stage, "data/capture.json")["attention"]["prompts"] == "the words' way"


@pytest.mark.parametrize("comparison", ["spearman", "cka_debiased"])
def test_another_comparison_is_of_all_pairs_alone(
    tiny_stage: InProcess, draw_only: Callable[..., None], comparison: str
) -> None:
    draw_only("fig6_rsa_profile")
    root = tiny_stage.project.root
    before = pd.read_csv(root / "metrics/rsa.csv")
    tiny_stage.project.set(rsa__comparison=comparison)
    log_of(tiny_stage, "rsa")
    after = pd.read_csv(root / "metrics/rsa.csv")
    changed = {column for column in after if not np.allclose(before[column], after[column])}
    assert changed == set(PAIRS)
    log_of(tiny_stage, "claims", "report")
    summary, claims = (read_json(tiny_stage, f"metrics/{name}.json") for name in ("summary", "claims"))
    assert summary["rsa"] == pytest.approx(after[[*PAIRS]].to_numpy().mean(), abs=6e-4)
    assert summary["rsa_pearson"] == pytest.approx(before[[*PAIRS]].to_numpy().mean(), abs=6e-4)
    assert claims["rsa_focus"]["measured"] == pytest.approx(before.loc[1, [*PAIRS]].min(), abs=2e-6)
    controls = Results(lambda path: root / path, comparison=comparison).controls
    for pair in PAIRS:
        np.testing.assert_allclose(controls["rsa", pair]["value"], before[pair], atol=1e-6)
    if comparison == "spearman":
        similarity = load_file(root / "data/similarity.safetensors")
        expected = stats.spearmanr(similarity["q"][1], similarity["k"][1]).statistic
        assert after["qk"][1] == pytest.approx(expected, abs=1e-6)
        assert "fig6_rsa_profile: no bands and marks" in log_of(tiny_stage, "figures")


# Claims

NULLED = [*(("rsa", pair) for pair in PAIRS), *(("d", name) for name in "qkv")]


def cell(value: list, low: list | None = None, high: list | None = None, p: list | None = None) -> dict:
    columns = {"value": value, "low": low or value, "high": high or value, "p_familywise": p or value}
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


def evidence(**changes: dict) -> Results:
    """A run of two layers in which everything survives, but for `changes`: measure, or measure_rung → cell."""
    given = {
        "rsa": cell([0.9, 0.9], p=[0.2, 0.05]),  # the first layer is excepted, as in the post
        "d": cell([2.0, 2.0], p=[0.2, 0.05]),
        "rsa_gap": cell([0.2, 0.2], [0.1, 0.1]),
        "partial_rsa": cell([0.3, 0.3], [0.1, 0.1], [0.5, 0.5]),
        "rsa_to_input": cell([0.8, 0.8]),
        "rsa_gap_matched_first": cell([0.1, 0.1]),
        "rsa_gap_matched_second": cell([0.1, np.nan]),
        **changes,
    }
    table = {
        (m, name): values for m, values in given.items() for name in ("qkv" if m in ("d", "rsa_to_input") else PAIRS)
    }
    drawn = cell([0.7, 0.7], [0.6, 0.6], [0.8, 0.8])
    rungs = {"gaussian": drawn, "spectrum": drawn, "orientation": drawn, "unbiased": cell([0.9, 0.9])}
    steps = {"narrow spectrum": cell([-0.1, -0.1]), "alignment": changes.get("alignment", cell([0.1, 0.3]))}
    nulls = {
        **{(m, n, rung): changes.get(f"{m}_{rung}", values) for m, n in NULLED for rung, values in rungs.items()},
        **{(f"{m}_step", n, step): values for m, n in NULLED for step, values in steps.items()},
    }
    return Results(alpha=0.05, inference=table, controls=table, nulls=nulls, rsa={"qk": np.zeros(2)}, numbers=range(2))


def judge(run: Results) -> dict[str, Verdict]:
    return {name: claim.judge(run) for name, claim in TESTS.items()}


def test_everything_can_survive() -> None:
    verdicts = judge(evidence())
    assert {name: verdict.holds for name, verdict in verdicts.items()} == {
        n: None if "step" in n else True for n in TESTS
    }
    assert verdicts["within_above_across_matched"].measured == {"by_first": 1.0, "by_second": 1.0}


@pytest.mark.parametrize(
    ("claim", "changes", "measured"),
    [
        ("rsa_significant", {"rsa": cell([1, 1], p=[0.01, 0.051])}, {"qk": 1, "qv": 1, "kv": 1}),
        *(
            (
                f"{measure}_against_{rung}",
                {f"{measure}_unbiased": cell([0.8, 0.59])},
                {name: {"above": 0, "inside": 1, "below": 1} for name in names},
            )
            for measure, names in (("rsa", PAIRS), ("d", "qkv"))
            for rung in ("gaussian", "spectrum", "orientation")
            if (measure, rung) != ("d", "orientation")
        ),
        ("d_significant", {"d": cell([1, 1], p=[0.2, 0.051])}, {"q": 0, "k": 0, "v": 0}),
        (
            "partial_rsa_above_0",
            {"partial_rsa": cell([0, 0], [-0.1, -0.3], [0.1, -0.1])},
            {pair: {"above": 0, "below": 1} for pair in PAIRS},
        ),
        ("within_above_across_bootstrap", {"rsa_gap": cell([0.2, 0.2], [0.1, 0.0])}, 0.5),
        (
            "within_above_across_matched",
            {"rsa_gap_matched_second": cell([0.1, -0.1])},
            {"by_first": 1.0, "by_second": 0.5},
        ),
    ],
)
def test_each_claim_can_fail(claim: str, changes: dict, measured: object) -> None:
    assert judge(evidence(**changes))[claim] == Verdict(measured, False)


@pytest.mark.parametrize("alignment", [0.1, 0.3])
def test_the_largest_step_is_a_measurement_not_a_verdict(alignment: float) -> None:
    verdicts = judge(evidence(alignment=cell([0.0, alignment])))
    step, mean = ("narrow spectrum", -0.1) if alignment == 0.1 else ("alignment", 0.15)
    for measure, names in (("rsa", PAIRS), ("d", "qkv")):
        found = verdicts[f"{measure}_largest_step"]
        assert (found.holds, found.reason) == (None, "")
        assert found.measured == {name: {"step": step, "mean": pytest.approx(mean)} for name in names}


def test_what_was_not_run_is_not_judged() -> None:
    reasons = {"inference": "switched off", "controls": "switched off", "nulls": "no linear maps"}
    nothing = Results(inference={}, controls={}, nulls={}, reasons=reasons)
    for name, verdict in judge(nothing).items():
        assert verdict == Verdict(None, None, reasons[TESTS[name].needs])
    unmatched = evidence(rsa_gap_matched_first=cell([np.nan, np.nan]))
    assert judge(unmatched)["within_above_across_matched"].holds is None


def test_a_value_on_the_edge_of_a_range_is_inside() -> None:
    floor = {"low": np.array([0.0] * 4), "high": np.array([1.0] * 4)}
    np.testing.assert_array_equal(position(np.array([1.0, 0.0, 1.1, -0.1]), floor), [0, 0, 1, -1])
