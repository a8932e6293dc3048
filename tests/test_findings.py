"""The post's findings: each holds on a run made as the post describes, and fails when its own number goes wrong."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import Project

from stages.artefacts.files import read_json
from stages.artefacts.results import Results
from stages.findings import summary
from stages.findings.answer import answer
from stages.findings.claims import CLAIMS, Verdict, of_post
from stages.findings.evidence import TESTS
from stages.geometry.names import PAIRS

LAYERS = 12


def as_in_the_post() -> Results:
    """Make a run in which every finding of the post holds."""
    flat = np.full(LAYERS, 0.9) + 0.01 * (-1.0) ** np.arange(LAYERS)
    flat[0] = 0.6
    d = np.array([2.6] * 4 + [2.1] * 4 + [2.6] * 4)
    correlation = {"qk": np.full(LAYERS, -0.1), "qv": np.full(LAYERS, 0.02), "kv": np.full(LAYERS, -0.02)}
    return Results(
        correlation={**correlation, **{f"{pair}_target": r / 2 for pair, r in correlation.items()}},
        rsa={
            **{pair: flat.copy() for pair in PAIRS},
            **{f"{pair}_within": flat + 0.02 for pair in PAIRS},
            **{f"{pair}_across": flat - 0.02 for pair in PAIRS},
        },
        separability={name: d.copy() for name in "qkv"},
        mean_similarity={"q": 0.7, "k": 0.8, "v": 0.6},
        focus=6,
        numbers=range(LAYERS),
        influence={},
        record={},
        anisotropy={(measure, "x", "all"): {"value": np.full(LAYERS, 0.1)} for measure in ("unit", "unit_share")},
        **{table: {} for table in ("inference", "nulls", "null_choices", "controls", "heads", "head_nulls")},
        reasons={table: f"{table}.enabled is false" for table in ("inference", "nulls", "controls")},
    )


def judge(run: Results) -> dict[str, Verdict]:
    return {name: claim.judge(run) for name, claim in CLAIMS.items()}


def summarise(run: Results) -> dict:
    return summary.summarise(run, {name: claim.judge(run) for name, claim in summary.ASKED.items()})


def put(table: str, columns: str, value, layer=slice(None)):
    def change(run: Results) -> None:
        for column in columns.split():
            getattr(run, table)[column][layer] = value

    return change


#: What makes a finding fail, and only what it is about.
SPOILT = {
    "qk_correlation_focus": [put("correlation", "qk", 0.01, 6), put("correlation", "qk", -0.31, 6)],
    "qk_correlation_most_layers": [put("correlation", "qk", value, slice(0, 6)) for value in (0.1, -0.4)],
    "v_correlations_near_zero": [put("correlation", "qv", 0.1), put("correlation", "kv", -0.2)],
    "target_closer_to_zero": [put("correlation", "qk_target qv_target kv_target", 0.5)],
    "similarity_order": [
        lambda run: run.mean_similarity.update(k=0.65),
        lambda run: run.mean_similarity.update(v=0.75),
    ],
    "rsa_focus": [put("rsa", "kv", 0.79, 6)],
    "rsa_level": [put("rsa", "qk", 0.5), put("rsa", "qv", 1.0 + 0.1)],
    "rsa_flat": [put("rsa", "qk qv kv", np.linspace(0.6, 0.95, LAYERS))],
    "rsa_first_layer": [put("rsa", "qk qv kv", 0.99, 0)],
    "d_focus": [put("separability", "q", 1.9, 6), put("separability", "v", 3.1, 6)],
    "d_high": [put("separability", "k", 0.79, 3)],
    "d_dip": [put("separability", "q", 9.0, slice(4, 8))],
    "within_above_across": [put("rsa", "qv_within", 0.1, 2)],
    "within_above_across_z": [put("rsa", "kv_across", 0.99, 2), put("rsa", "kv_within", 0.9999, 2)],
}


def test_all_findings_hold_as_in_the_post() -> None:
    assert {name: verdict.holds for name, verdict in judge(as_in_the_post()).items()} == dict.fromkeys(SPOILT, True)


@pytest.mark.parametrize("name", SPOILT)
def test_a_finding_fails_when_its_number_goes_wrong(name: str) -> None:
    for change in SPOILT[name]:
        run = as_in_the_post()
        change(run)
        assert judge(run)[name].holds is False


def test_one_token_is_no_nearer_to_zero_than_itself() -> None:
    run = as_in_the_post()
    run.correlation |= {f"{pair}_target": run.correlation[pair] for pair in PAIRS}
    expected = Verdict(None, None, "tokens.context and tokens.target are one token")
    assert judge(run)["target_closer_to_zero"] == expected


def test_measured_values_are_those_of_the_definition() -> None:
    run = as_in_the_post()
    verdicts = judge(run)
    assert verdicts["qk_correlation_focus"].measured == pytest.approx(-0.1)
    assert verdicts["qk_correlation_most_layers"].measured == 1
    assert verdicts["target_closer_to_zero"].measured == pytest.approx({"qk": -0.05, "qv": -0.01, "kv": -0.01})
    assert verdicts["rsa_focus"].measured == pytest.approx(0.91)
    assert verdicts["rsa_level"].measured == pytest.approx(0.9 - 0.01 / 11)
    assert verdicts["d_dip"].measured == pytest.approx({"middle": 2.1, "outer": 2.6})
    assert verdicts["within_above_across"].measured == 1
    gaps = np.array([np.arctanh(run.rsa[f"{pair}_within"]) - np.arctanh(run.rsa[f"{pair}_across"]) for pair in PAIRS])
    expected = {"smallest": gaps.min(), "mean": gaps.mean(), "sd": gaps.std(ddof=1)}
    assert verdicts["within_above_across_z"].measured == pytest.approx(expected)


@pytest.mark.parametrize(("layers", "unjudged"), [(1, 4), (2, 2), (3, 1), (4, 0)])
def test_too_few_layers_are_said_not_guessed(layers: int, unjudged: int) -> None:
    run = as_in_the_post()
    run.numbers, run._focus = range(layers), 0
    for table in (run.correlation, run.rsa, run.separability):
        table.update({name: values[:layers] for name, values in table.items()})
    without = {name: verdict for name, verdict in judge(run).items() if verdict.holds is None}
    assert len(without) == unjudged
    for verdict in without.values():
        assert verdict.measured is None
        assert f"the model has {layers}" in verdict.reason


def test_a_rank_correlation_on_the_edge_is_not_decided_by_rounding() -> None:
    """Of seven layers it can be 1/2 itself, which arithmetic makes 0.4999999999999999."""
    run = as_in_the_post()
    for pair in PAIRS:
        run.rsa[pair] = 0.8 + 0.01 * np.array([-9, 0, 1, 3, 6, 5, 4, 2])
    run.numbers = range(8)
    assert judge(run)["rsa_flat"] == Verdict(0.5, False)


def test_where_layer_0_does_not_attend_no_layer_is_excepted() -> None:
    run = as_in_the_post()
    run.numbers = range(3, 3 + LAYERS)
    verdicts = judge(run)
    assert verdicts["rsa_first_layer"] == Verdict(None, None, "layer 0 was not captured")
    assert verdicts["rsa_level"].measured == pytest.approx(run.rsa["qk"].mean())


def test_correlations_that_are_not_defined_are_said_not_guessed() -> None:
    run = as_in_the_post()
    for column in ("qk", "qv", "qk_target", "qv_target"):
        del run.correlation[column]
    verdicts = judge(run)
    unjudged = {name for name, verdict in verdicts.items() if verdict.holds is None}
    assert unjudged == {"qk_correlation_focus", "qk_correlation_most_layers", "v_correlations_near_zero"}
    assert verdicts["v_correlations_near_zero"].reason == "qv: units differ in number"
    assert verdicts["target_closer_to_zero"].measured == pytest.approx({"kv": -0.01})


def test_the_summary_is_made_of_means_over_layers_and_names_the_strongest_heads() -> None:
    run = as_in_the_post()
    found = summarise(run)
    assert found["qk_r"] == pytest.approx(-0.1)
    assert found["d_q"] == pytest.approx((2.6 * 8 + 2.1 * 4) / 12, abs=5e-4)
    assert found["rsa_gap"] == pytest.approx(0.04)
    assert (found["claims"], found["tests"]) == (len(of_post()), 0)
    assert found["strongest_heads"] == []
    assert found["notes"] == [f"{name} is not judged: {claim.needs}.enabled is false" for name, claim in TESTS.items()]
    run.nulls = {("rsa", pair, "spectrum"): {"value": np.full(LAYERS, 0.7)} for pair in PAIRS}
    run.nulls |= {("d", name, "spectrum"): {"value": np.full(LAYERS, 1.0)} for name in "qkv"}
    run.heads = {("d", name): {"value": np.array([[0.1, 0.2], [0.3, np.nan]])} for name in "qk"}
    run.heads |= {("d", "v"): {"value": np.full((2, 2), np.nan)}}
    run.nulls |= {("partial_rsa", "qv", rung): {"value": np.full(LAYERS, np.nan)} for rung in ("spectrum", "gaussian")}
    found = summary.summarise(run, judge(run))
    assert (found["rsa_null"], found["d_null"]) == (0.7, 1.0)
    assert found["strongest_heads"] == ["q L1H0", "k L1H0"]
    assert sum(note.startswith("nulls.csv: no partial_rsa of qv in layers 0 to 11: ") for note in found["notes"]) == 1


@pytest.mark.parametrize("comparison", ["spearman", "cka_debiased"])
def test_under_another_comparison_pearsons_scores_are_held_to_what_is_pearsons(comparison: str) -> None:
    """The post's rules, the nulls, and what other sentences give are Pearson's r: so is what is compared with them."""
    run = as_in_the_post()
    expected, before = judge(run), summarise(run)
    run.comparison, run.pearson = comparison, {pair: run.rsa[pair] for pair in PAIRS}
    run.rsa = run.rsa | {pair: np.full(LAYERS, 0.3) for pair in run.pearson}
    assert judge(run) == expected
    found = summarise(run)
    assert (found["rsa"], found["rsa_pearson"]) == (0.3, before["rsa"])
    assert "rsa_pearson" not in before


def test_the_answer_never_puts_two_kinds_of_scores_side_by_side() -> None:
    run = as_in_the_post()
    names = {"all": 0.1, "prompt": 0.2, "saw": 0.75, "ate": 0.77}
    run.sentences = {("rsa", p, name): {"value": np.full(LAYERS, v)} for p in PAIRS for name, v in names.items()}
    said = " ".join(answer(run))
    assert said.startswith("Largely: similarities of words in two of the three correlate at ")
    assert "In other sentences the average lies between 0.75 and 0.77." in said  # the run's own is none of them
    assert "Pearson" not in said
    run.influence = {("rsa", "kv"): {"word": np.full((LAYERS, 1), "sofa"), "value": np.full((LAYERS, 1), 0.4)}}
    run.anisotropy = {(measure, "x", "all"): {"value": np.zeros(LAYERS)} for measure in ("unit", "unit_share")}
    run.sentences |= {("rsa", p, "ate"): run.sentences["rsa", p, "saw"] for p in PAIRS}
    said = " ".join(answer(run))
    assert "In other sentences the average is 0.75. RSA kv without a single word: sofa +0.40" in said
    run.comparison, run.pearson = "spearman", {pair: run.rsa[pair] for pair in PAIRS}
    run.rsa = run.rsa | {pair: np.full(LAYERS, 0.3) for pair in run.pearson}
    assert " ".join(answer(run)) == (
        f"{said} All of this is Pearson's r, as random maps and other sentences are; Spearman's ρ is 0.30 on average."
    )


def test_a_finding_is_added_as_the_page_of_the_room_says(tiny: Project) -> None:
    """One function in one file: log, `claims.json`, summary and report follow."""
    folder, before = tiny.root / "stages/findings", read_json(tiny.root / "metrics/summary.json")
    page = (folder / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall("^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with (folder / "claims.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{code}")
    log = tiny.run(sys.executable, "-m", "stages.claims").stdout
    found = read_json(tiny.root / "metrics/claims.json")["qk_rsa_last_layer"]
    r = float(pd.read_csv(tiny.root / "metrics/rsa.csv")["qk"].iloc[-1])
    assert found == {"measured": r, "post": "not told", "holds": r >= 0.5, "beyond_random_maps": None}
    assert read_json(tiny.root / "metrics/summary.json")["claims"] == before["claims"]  # of the post's
    assert re.search(rf"RSA of Q and K, .*not told +{r:.2f} ", log)
    tiny.run(sys.executable, "-m", "stages.report")
    assert "RSA of Q and K, last layer" in (tiny.root / "plots/report.html").read_text(encoding="utf-8")
