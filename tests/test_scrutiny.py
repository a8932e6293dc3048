"""The stages inference and controls, and the claims on them: against other tables, plain formulas, known answers."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, InProcess, Project
from safetensors.numpy import load_file
from scipy import stats
from scipy.spatial.distance import pdist

from stages.artefacts.files import read_json
from stages.artefacts.results import Results
from stages.artefacts.tables import read_table
from stages.findings.beyond import against_spectrum
from stages.findings.claims import CLAIMS, Verdict
from stages.findings.evidence import TESTS
from stages.geometry.names import MATRICES
from stages.models.capture import capture

PARAMS = Project(ROOT).params
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


def test_values_are_those_of_the_posts_tables_and_no_number_stands_in_two(embedded: Project, tables: dict) -> None:
    inference, controls = tables["inference"], tables["controls"]
    for pair in PAIRS:
        for measure, column in (("rsa", pair), ("rsa_within", f"{pair}_within"), ("rsa_across", f"{pair}_across")):
            np.testing.assert_allclose(inference[measure, pair]["value"], tables["rsa"][column], atol=2e-6)
        np.testing.assert_array_equal(controls["rsa", pair]["value"], tables["rsa"][pair])
    for name in "qkv":
        np.testing.assert_allclose(inference["d", name]["value"], tables["separability"][name], atol=2e-6)
        np.testing.assert_array_equal(controls["d", name]["value"], tables["separability"][name])
    one, other = (pd.read_csv(embedded.root / f"metrics/{name}.csv") for name in ("inference", "controls"))
    assert one.merge(other, on=["layer", "measure", "of"]).empty


def own(nulls: dict) -> dict:
    """Take the ladder of raw cosines, by Pearson's r."""
    return {(*key[:2], key[4]): cells for key, cells in nulls.items() if key[2:4] == ("none", "pearson")}


def matrices(embedded: Project, layer: int) -> dict[str, np.ndarray]:
    """Read the weights that make q, k and v of the embedded model: shape (units, units)."""
    stored = load_file(embedded.root / "data/models/gpt2-mini/model.safetensors")
    (name,) = [name for name in stored if name.endswith(f"h.{layer}.attn.c_attn.weight")]
    return dict(zip("qkv", np.split(stored[name].astype(float), 3, axis=1), strict=True))


def test_controls_and_trained_rungs_equal_plain_formulas(embedded: Project, tables: dict) -> None:
    activations = load_file(embedded.root / "data/activations.safetensors")
    controls, nulls = tables["controls"], own(tables["nulls"])
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
        for a, b in PAIRS:
            left = np.sqrt((1 - r[a + "x"] ** 2) * (1 - r[b + "x"] ** 2))
            partial = (r[a + b] - r[a + "x"] * r[b + "x"]) / left
            assert controls["partial_rsa", a + b]["value"][layer] == pytest.approx(partial, abs=1e-5)
            unbiased = np.corrcoef(plain[a], plain[b])[0, 1]
            assert nulls["rsa", a + b, "unbiased"]["value"][layer] == pytest.approx(unbiased, abs=1e-5)
            assert nulls["rsa", a + b, "trained"]["value"][layer] == pytest.approx(r[a + b], abs=1e-5)


def test_spectra_are_those_of_the_singular_values(embedded: Project, tables: dict) -> None:
    w = matrices(embedded, 3)
    for matrix, values in w.items():
        s = np.linalg.svd(values, compute_uv=False)
        expected = (s**2).sum() ** 2 / (s**4).sum()
        assert tables["spectra"]["participation", matrix]["value"][3] == pytest.approx(expected, rel=1e-4)
    for a, b in PAIRS:
        first, second = w[a] @ w[a].T, w[b] @ w[b].T
        expected = np.trace(first @ second) / np.sqrt(np.trace(first @ first) * np.trace(second @ second))
        assert tables["spectra"]["overlap", a + b]["value"][3] == pytest.approx(expected, rel=1e-4)
        sizes = [tables["spectra"]["participation", m]["value"][3] for m in (a, b)]
        random = np.sqrt(np.prod(sizes)) / len(w[a])
        assert tables["spectra"]["overlap_random", a + b]["value"][3] == pytest.approx(random, rel=1e-4)


def test_robustness_equals_plain_loops(embedded: Project, tables: dict) -> None:
    activations = load_file(embedded.root / "data/activations.safetensors")
    for layer, transform in itertools.product((1, 6), ("none", "center", "zscore")):
        similarity, expected = {}, {}
        for name in "qkv":
            x = activations[f"attn_{layer}_{name}"][:, -1].astype(float)
            x = x if transform == "none" else x - x.mean(axis=0)
            x = x / x.std(axis=0) if transform == "zscore" else x
            similarity[name] = 1 - pdist(x, "cosine")
            expected["d", name, transform] = d_of(similarity[name])
        for a, b in PAIRS:
            x, y = similarity[a], similarity[b]
            expected["rsa", a + b, transform] = np.corrcoef(x, y)[0, 1]
            expected["rsa_spearman", a + b, transform] = stats.spearmanr(x, y).statistic
        found = {key: tables["robustness"][key]["value"][layer] for key in expected}
        assert found == pytest.approx(expected, abs=1e-4)


# Settings


def json_of(stages: InProcess, path: str) -> dict:
    return read_json(stages.project.root / path)


def test_stages_that_are_switched_off_write_a_row_and_say_so(
    tiny_stage: InProcess, draw_only: Callable[..., None]
) -> None:
    draw_only("fig10_ladder", "fig11_controls", "fig12_robustness")
    root = tiny_stage.project.root
    tiny_stage.project.set(inference__enabled=False, controls__enabled=False, nulls__enabled=False)
    log = tiny_stage.log_of("inference", "nulls", "controls", "claims", "figures")
    tables = dict.fromkeys(("nulls", "spectra", "head_nulls"), "nulls")
    tables |= {"inference": "inference", "controls": "controls", "robustness": "controls"}
    for table, section in tables.items():
        assert f"{table}.csv: {section}.enabled is false" in log
        header, *lines = (root / f"metrics/{table}.csv").read_text(encoding="utf-8").splitlines()
        assert lines == ["," * header.count(",") + "off"]
    claims = json_of(tiny_stage, "metrics/claims.json")
    assert all(claims[name] == {"measured": None, "post": s.post, "holds": None} for name, s in TESTS.items())
    summary = json_of(tiny_stage, "metrics/summary.json")
    assert "rsa_against_spectrum is not judged: nulls.enabled is false" in summary["notes"]
    assert not [note for note in summary["notes"] if note.startswith("inference.csv")]
    assert "rsa_null" not in summary
    figures = [root / f"plots/figures/{name}.png" for name in ("fig10_ladder", "fig11_controls", "fig12_robustness")]
    assert max(figure.stat().st_size for figure in figures) < 20_000  # a line of text


def test_transforms_take_their_statistics_from_the_reference_words(tiny_stage: InProcess) -> None:
    project = tiny_stage.project
    words = ["sofa", "door", "table"]
    project.set(similarity__transform="center", similarity__reference_words=words, similarity__metric="correlation")
    tiny_stage.log_of("capture", "similarity", "controls")
    activations, reference, similarity = (
        load_file(project.root / f"data/{name}.safetensors") for name in ("activations", "reference", "similarity")
    )
    assert json_of(tiny_stage, "data/capture.json")["reference_words"] == words
    for name in "qkvx":
        x, y = (tensors[f"attn_1_{name}"][:, -1].astype(float) for tensors in (activations, reference))
        assert y.shape == (3, x.shape[1])
        expected = 1 - pdist(x - y.mean(axis=0), "correlation")
        np.testing.assert_allclose(similarity[name][1], expected, atol=1e-5)
    robustness = read_table(project.root / "metrics/robustness.csv")
    r = [np.corrcoef(*rows)[0, 1] for rows in zip(similarity["q"], similarity["k"], strict=True)]
    np.testing.assert_allclose(robustness["rsa", "qk", "center"]["value"], r, atol=1e-5)


def test_how_prompts_were_run_is_told_of_the_words_not_of_the_reference(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = iter(["the words' way", "the reference's"])

    def run(*arguments: object) -> tuple[str, dict]:
        capture(*arguments)
        return next(ways), {}

    monkeypatch.setattr("stages.capture.capture", run)
    tiny_stage.project.set(similarity__reference_words=["sofa", "lamp"])
    tiny_stage.log_of("capture")
    assert json_of(tiny_stage, "data/capture.json")["attention"]["prompts"] == "the words' way"


@pytest.mark.parametrize("comparison", ["spearman", "cka_debiased"])
def test_another_comparison_is_of_all_pairs_alone(
    tiny_stage: InProcess, draw_only: Callable[..., None], comparison: str
) -> None:
    draw_only("fig6_rsa_profile")
    root = tiny_stage.project.root
    before = pd.read_csv(root / "metrics/rsa.csv")
    tiny_stage.project.set(rsa__comparison=comparison)
    tiny_stage.log_of("rsa")
    after = pd.read_csv(root / "metrics/rsa.csv")
    changed = {column for column in after if not np.allclose(before[column], after[column])}
    assert changed == set(PAIRS)
    tiny_stage.log_of("claims", "report")
    summary, claims = (json_of(tiny_stage, f"metrics/{name}.json") for name in ("summary", "claims"))
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
        assert "fig6_rsa_profile: no bands and marks" in tiny_stage.log_of("figures")


# Claims

CHOICES = [("none", "pearson"), ("center", "pearson"), ("none", "spearman")]
NULLED = {"rsa": PAIRS, "rsa_gap": PAIRS, "rsa_gap_z": PAIRS, "partial_rsa": PAIRS, "d": MATRICES}
RUNGS = ("gaussian", "spectrum", "orientation")


def cell(value: list, low: list | None = None, p: list | None = None) -> dict:
    columns = {"value": value, "low": low or value, "p_familywise": p or value}
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


def evidence(ladder: dict | None = None, **changes: dict) -> Results:
    """A run of two layers in which everything survives, but for `changes` of tests, and of cells of the ladder."""
    tested = {
        "rsa": cell([0.9, 0.9], p=[0.2, 0.05]),  # the first layer is excepted, as in the post
        "d": cell([2.0, 2.0], p=[0.2, 0.05]),
        "rsa_gap": cell([0.2, 0.2], [0.1, 0.1]),
        **changes,
    }
    table = {(m, name): values for m, values in tested.items() for name in ("qkv" if m == "d" else PAIRS)}
    null_choices = {
        (measure, name, *choice, rung): cell([0.9, 0.9]) if rung == "unbiased" else cell([0.7, 0.7], p=[0.05, 0.2])
        for measure, names in NULLED.items()
        for name in names
        for choice in CHOICES
        for rung in (*RUNGS, "unbiased")
        if choice[1] == "pearson" or measure == "rsa"
    } | (ladder or {})
    steps = {"narrow spectrum": cell([-0.1, -0.1]), "alignment": changes.get("alignment", cell([0.1, 0.3]))}
    names = [("rsa", pair) for pair in PAIRS] + [("d", name) for name in MATRICES]
    nulls = {(f"{m}_step", n, step): values for m, n in names for step, values in steps.items()}
    known = {"inference": table, "nulls": nulls, "null_choices": null_choices, "rsa": {"qk": np.zeros(2)}}
    return Results(alpha=0.05, numbers=range(2), **known)


def judge(run: Results) -> dict[str, Verdict]:
    return {name: claim.judge(run) for name, claim in TESTS.items()}


def test_everything_can_survive() -> None:
    verdicts = judge(evidence())
    assert {name: v.holds for name, v in verdicts.items()} == {n: None if "step" in n else True for n in TESTS}
    assert verdicts["d_against_spectrum"].measured["v"] == {"above": 1, "inside": 1, "below": 0}


@pytest.mark.parametrize(
    ("claim", "changes", "measured"),
    [
        ("rsa_significant", {"rsa": cell([1, 1], p=[0.01, 0.051])}, {"qk": 1, "qv": 1, "kv": 1}),
        ("d_significant", {"d": cell([1, 1], p=[0.2, 0.051])}, {"q": 0, "k": 0, "v": 0}),
        ("within_above_across_bootstrap", {"rsa_gap": cell([0.2, 0.2], [0.1, 0.0])}, 0.5),
    ],
)
def test_each_test_can_fail(claim: str, changes: dict, measured: object) -> None:
    assert judge(evidence(**changes))[claim] == Verdict(measured, False)


def places(measure: str, choices: list, value: float = 0.9, p: float = 0.2, names: tuple = ()) -> dict:
    """Cells of the ladder: a score that lies elsewhere, or has another p, under some choices."""
    cells = {}
    for name in names or NULLED[measure]:
        for choice in choices:
            cells[measure, name, *choice, "unbiased"] = cell([value, value])
            cells |= {(measure, name, *choice, rung): cell([0.7, 0.7], p=[p, p]) for rung in RUNGS}
    return cells


@pytest.mark.parametrize(
    ("cells", "holds", "reason"),
    [
        (places("rsa", CHOICES, 0.5, 0.01), False, ""),
        (places("rsa", CHOICES), None, "not decided"),
        (
            places("rsa", CHOICES, 0.5, 0.01) | places("rsa", CHOICES, 0.9, 0.01, ("qk",)),
            None,
            "robust: above and below",
        ),
        (places("rsa", CHOICES[1:]), None, "only raw Pearson: above"),
        (places("rsa", CHOICES[1:2]), None, "only raw: above"),
        (places("rsa", CHOICES[:1], 0.5, 0.01), None, "only centred, raw Spearman: above; only raw Pearson: below"),
    ],
)
def test_a_verdict_needs_all_choices(cells: dict, holds: bool | None, reason: str) -> None:
    found = judge(evidence(cells))["rsa_against_spectrum"]
    assert (found.holds, found.reason) == (holds, reason)


def test_claims_of_the_post_say_whether_they_lie_beyond_random_maps() -> None:
    def of(cells: dict, claim: str) -> dict:
        return against_spectrum(evidence(cells).null_choices, CLAIMS[claim].null, 0.05)

    assert of({}, "rsa_level") == {"verdict": "yes", "above": 3, "of": 6}
    assert of(places("rsa", CHOICES[1:]), "rsa_level") == {"verdict": "undecided", "above": 0, "of": 6}
    assert of(places("rsa_gap", CHOICES[:2]), "within_above_across") == {"verdict": "no", "above": 0, "of": 6}


@pytest.mark.parametrize("alignment", [0.1, 0.3])
def test_the_largest_step_is_a_measurement_not_a_verdict(alignment: float) -> None:
    verdicts = judge(evidence(alignment=cell([0.0, alignment])))
    step, mean = ("narrow spectrum", -0.1) if alignment == 0.1 else ("alignment", 0.15)
    for measure, names in (("rsa", PAIRS), ("d", "qkv")):
        found = verdicts[f"{measure}_largest_step"]
        assert (found.holds, found.reason) == (None, "")
        assert found.measured == {name: {"step": step, "mean": pytest.approx(mean)} for name in names}


def test_what_was_not_run_is_not_judged() -> None:
    reasons = {"inference": "switched off", "nulls": "no linear maps"}
    nothing = Results(inference={}, nulls={}, null_choices={}, reasons=reasons)
    for name, verdict in judge(nothing).items():
        assert verdict == Verdict(None, None, reasons[TESTS[name].needs])
