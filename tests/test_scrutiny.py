"""The stages inference and controls, and the claims on them: against other tables, plain formulas, known answers."""

from collections.abc import Callable
from itertools import product

import numpy as np
import oracle
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
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.models.capture import capture

WITHIN = within_category([category for category, words in Project(ROOT).params["words"].items() for _ in words])
TRANSFORMED = {
    "none": lambda x: x,
    "center": lambda x: x - x.mean(axis=0),
    "zscore": lambda x: (x - x.mean(axis=0)) / x.std(axis=0),
}


# Against the other tables and plain formulas


@pytest.fixture(scope="module")
def run(embedded: Project) -> Results:
    return Results(lambda path: embedded.root / path)


@pytest.fixture(scope="module")
def activations(embedded: Project) -> dict[str, np.ndarray]:
    return load_file(embedded.root / "data/activations.safetensors")


def compare(table: dict, layer: int, expected: dict) -> None:
    assert {key: table[key]["value"][layer] for key in expected} == pytest.approx(expected, abs=1e-5)


def test_values_are_those_of_the_posts_tables_and_no_number_stands_in_two(run: Results) -> None:
    for pair, kind in product(PAIRS, ("", "_within", "_across")):
        np.testing.assert_allclose(run.inference[f"rsa{kind}", pair]["value"], run.rsa[f"{pair}{kind}"], atol=2e-6)
    for name in MATRICES:
        np.testing.assert_allclose(run.inference["d", name]["value"], run.separability[name], atol=2e-6)
    assert not run.inference.keys() & run.controls.keys()


@pytest.mark.parametrize("layer", [0, 5])
def test_controls_and_trained_rungs_equal_plain_formulas(run: Results, activations: dict, layer: int) -> None:
    vectors = {name: activations[f"attn_{layer}_{name}"][:, -1].astype(float) for name in "qkvx"}
    trained = {name: 1 - pdist(x, "cosine") for name, x in vectors.items()}
    unbiased = {n: 1 - pdist(vectors[n] - activations[f"attn_{layer}_{n}_bias"], "cosine") for n in MATRICES}
    to_input = {("rsa_to_input", name): np.corrcoef(trained[name], trained["x"])[0, 1] for name in MATRICES}
    compare(run.controls, layer, to_input | {("d_of_input", "x"): oracle.cohens_d(trained["x"], WITHIN)})
    for rung, similarity in {"unbiased": unbiased, "trained": trained}.items():
        expected = {(*key, rung): value for key, value in oracle.scores(similarity, WITHIN).items()}
        compare(run.nulls, layer, expected)


def test_spectra_are_those_of_the_singular_values(run: Results, embedded: Project) -> None:
    stored = load_file(embedded.root / "data/models/gpt2-mini/model.safetensors")
    fused = stored["transformer.h.3.attn.c_attn.weight"].astype(float)
    w, widths, expected = dict(zip("qkv", np.split(fused, 3, axis=1), strict=True)), {}, {}
    for name, values in w.items():
        s = np.linalg.svd(values, compute_uv=False)
        expected["participation", name] = widths[name] = (s**2).sum() ** 2 / (s**4).sum()
    for a, b in PAIRS:
        first, second = w[a] @ w[a].T, w[b] @ w[b].T
        expected["overlap", a + b] = np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2))
        expected["overlap_random", a + b] = np.sqrt(widths[a] * widths[b]) / len(first)
    assert {key: cells["value"][3] for key, cells in run.spectra.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("transform", TRANSFORMED)
def test_robustness_equals_plain_loops(run: Results, activations: dict, transform: str) -> None:
    for layer in (1, 6):
        vectors = {name: activations[f"attn_{layer}_{name}"][:, -1].astype(float) for name in MATRICES}
        similarity = {name: 1 - pdist(TRANSFORMED[transform](x), "cosine") for name, x in vectors.items()}
        spearman = {("rsa_spearman", a + b): stats.spearmanr(similarity[a], similarity[b]).statistic for a, b in PAIRS}
        expected = oracle.scores(similarity, WITHIN) | spearman
        compare(run.robustness, layer, {(*key, transform): value for key, value in expected.items()})


# Settings


@pytest.mark.parametrize("reference", [[], ["sofa", "door", "table"]])
def test_transforms_take_their_statistics_from_the_reference_words(tiny_stage: InProcess, reference: list) -> None:
    project, vectors = tiny_stage.project, {}
    project.set(similarity__transform="zscore", similarity__reference_words=reference, similarity__metric="correlation")
    tiny_stage.log_of("capture", "similarity", "controls", "heads")
    assert read_json(project.root / "data/capture.json")["reference_words"] == reference
    activations, similarity = (
        load_file(project.root / f"data/{name}.safetensors") for name in ("activations", "similarity")
    )
    for name in "qkvx":
        every = activations[f"attn_1_{name}"][:, -1].astype(float)
        own, base = np.split(every, [6]) if reference else (every, every)
        vectors[name] = (own - base.mean(axis=0)) / base.std(axis=0, ddof=1)
        np.testing.assert_allclose(similarity[name][1], 1 - pdist(vectors[name], "correlation"), atol=1e-5)
    robustness, heads = (read_table(project.root / f"metrics/{name}.csv") for name in ("robustness", "heads"))
    r = np.corrcoef(similarity["q"][1], similarity["k"][1])[0, 1]
    assert robustness["rsa", "qk", "zscore"]["value"][1] == pytest.approx(r, abs=1e-5)
    for head, units in enumerate((slice(0, 8), slice(8, 16))):
        own = [1 - pdist(vectors[name][:, units], "correlation") for name in "qk"]
        assert heads["rsa", "qk"]["value"][1, head] == pytest.approx(np.corrcoef(*own)[0, 1], abs=1e-5)


def test_the_way_that_is_told_is_that_of_the_words(tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = iter(["the words' way", "the reference's"])
    monkeypatch.setattr("stages.models.capture.capture", lambda *arguments: (capture(*arguments), (next(ways), {}))[1])
    tiny_stage.project.set(similarity__reference_words=["sofa", "lamp"], sentences__enabled=False)
    tiny_stage.log_of("capture")
    assert read_json(tiny_stage.project.root / "data/capture.json")["attention"]["prompts"] == "the words' way"


def test_another_comparison_is_of_all_pairs_alone(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    draw_only("fig6_rsa_profile")
    root = tiny_stage.project.root
    before, robustness = (read_table(root / f"metrics/{name}.csv") for name in ("rsa", "robustness"))
    tiny_stage.project.set(rsa__comparison="spearman")
    log = tiny_stage.log_of("rsa", "claims", "figures")
    after = read_table(root / "metrics/rsa.csv")
    assert {column for column in after if not np.allclose(before[column], after[column])} == set(PAIRS)
    for pair in PAIRS:
        np.testing.assert_allclose(after[pair], robustness["rsa_spearman", pair, "none"]["value"], atol=1e-6)
    pearson = np.mean([before[pair] for pair in PAIRS])
    assert read_json(root / "metrics/summary.json")["rsa_pearson"] == pytest.approx(pearson, abs=6e-4)
    assert "fig6_rsa_profile: no bands and marks" in log


# Claims

CHOICES = [("none", "pearson"), ("center", "pearson"), ("none", "spearman")]
SURE, UNSURE = [0.01, 0.01], [0.2, 0.2]
NULLED = {"rsa": PAIRS, "rsa_gap": PAIRS, "rsa_gap_z": PAIRS, "partial_rsa": PAIRS, "d": MATRICES}


def cell(value: list, low: list | None = None, p: list | None = None) -> dict:
    columns = {"value": value, "low": low or value, "p_familywise": p or value}
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


def places(measure: str, choices: list, value: float = 0.9, p: list = UNSURE, names: tuple = ()) -> dict:
    """Cells of the ladder: where a score lies, and with which p, under some choices."""
    drawn = dict.fromkeys(("gaussian", "spectrum", "orientation"), cell([0.7, 0.7], p=p))
    rungs = drawn | {"unbiased": cell([value, value])}
    keys = product([measure], names or NULLED[measure], choices, rungs)
    return {(measure, name, *choice, rung): rungs[rung] for measure, name, choice, rung in keys}


def evidence(ladder: dict | None = None, **changes: dict) -> Results:
    """A run of two layers in which everything survives, but for `changes` of tests, and of cells of the ladder."""
    tested = {
        "rsa": cell([0.9, 0.9], p=[0.2, 0.05]),  # the first layer is excepted, as in the post
        "d": cell([2.0, 2.0], p=[0.2, 0.05]),
        "rsa_gap": cell([0.2, 0.2], [0.1, 0.1]),
        **changes,
    }
    null_choices = {}
    for measure in NULLED:
        null_choices |= places(measure, CHOICES if measure == "rsa" else CHOICES[:2], p=[0.05, 0.2])
    steps = {"narrow spectrum": cell([-0.1, -0.1]), "alignment": changes.get("alignment", cell([0.1, 0.3]))}
    names = [("rsa", pair) for pair in PAIRS] + [("d", name) for name in MATRICES]
    return Results(
        alpha=0.05,
        numbers=range(2),
        inference={(m, name): values for m, values in tested.items() for name in ("qkv" if m == "d" else PAIRS)},
        nulls={(f"{m}_step", name, step): values for m, name in names for step, values in steps.items()},
        null_choices=null_choices | (ladder or {}),
        rsa={"qk": np.zeros(2)},
    )


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


@pytest.mark.parametrize(
    ("cells", "holds", "reason"),
    [
        (places("rsa", CHOICES, 0.5, SURE), False, ""),
        (places("rsa", CHOICES), None, "not decided"),
        (
            places("rsa", CHOICES, 0.5, SURE) | places("rsa", CHOICES, 0.9, SURE, ("qk",)),
            None,
            "robust: above and below",
        ),
        (places("rsa", CHOICES[1:]), None, "only raw Pearson: above"),
        (places("rsa", CHOICES[1:2]), None, "only raw: above"),
        (places("rsa", CHOICES[:1], 0.5, SURE), None, "only centred, raw Spearman: above; only raw Pearson: below"),
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
