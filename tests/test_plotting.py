"""The figures: titles, axes, markers and limits are those of the design, whatever the data."""

import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import Project
from matplotlib import image as plt_image
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from report_page import read_page

from stages.findings.beyond import beyond, names_of
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import EVERY, LABELS, PAIRS
from stages.geometry.pairs import category_masks, pairs_of, within_category
from stages.geometry.similarity import METRICS
from stages.pipeline.schema import Figures
from stages.plotting import controls, maps, others, profiles, scatter, style, word_map, words
from stages.plotting.captions import number
from stages.plotting.registry import figure, figures

CATEGORIES = ["space"] * 3 + ["fruit"] * 4
RNG = np.random.default_rng(0)
HEADS = {name: ("rsa" if name in PAIRS else "d", name) for name in (*"qkv", *PAIRS)}
RSA = {f"{pair}{kind}": RNG.uniform(0.4, 0.9, 5) for pair in PAIRS for kind in ("", "_within", "_across")}
R = dict.fromkeys(PAIRS, -0.123)
D = {name: RNG.uniform(0, 3, 5) for name in "qkv"}
UNTESTED = {}, 0.05, []
LAYERS, LAYER = [3, 7, 11, 15, 19], "Transformer layer"
SIMILARITY = {name: RNG.uniform(0.3, 1, 21) for name in "qkv"}
WITHIN = within_category(CATEGORIES)
UNSURE = {"low": np.full(5, -0.31), "high": np.full(5, 1.0), "p_familywise": np.array([0.2, 0.05, 0.01, 0.06, 0.0])}


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def labels(figure: Figure) -> list[tuple[str, str]]:
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


def keys(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def cells(value: float) -> dict[str, np.ndarray]:
    return {"value": np.full(5, value), "low": np.full(5, value - 0.1), "high": np.full(5, value + 0.1)}


def test_masks() -> None:
    drawn = words.masks(category_masks(CATEGORIES), CATEGORIES)
    assert [int(axes.images[0].get_array().sum()) for axes in drawn.axes] == [25, 21, 9, 12]
    assert titles(drawn)[1:] == ["B) each pair once: 21", "C) within: 9", "D) across: 12"]


@pytest.mark.parametrize(
    ("metric", "comparison", "said", "axes"),
    [
        ("cosine", "pearson", "r", "Cosine similarity"),
        ("euclidean", "spearman", "ρ", METRICS["euclidean"].long),
        ("cosine", "cka_debiased", "CKA", "Cosine similarity"),
    ],
)
def test_scores_and_similarities_are_called_what_they_are(metric: str, comparison: str, said: str, axes: str) -> None:
    drawn = scatter.rsa_scatter(SIMILARITY, R, metric, 6, comparison, "", WITHIN)
    assert titles(drawn)[::2] == [f"Q–K: {said} = −0.12", f"K–V: {said} = −0.12"]
    assert labels(drawn)[0] == (f"{axes} in Q", f"{axes} in K")
    assert [len(line.get_xdata()) for line in drawn.axes[0].lines] == [(~WITHIN).sum(), WITHIN.sum()]
    drawn = profiles.rsa_profile(RSA, LAYERS, comparison, *UNTESTED)
    assert labels(drawn) == [(LAYER, COMPARISONS[comparison].axis)]
    assert [line.get_marker() for line in drawn.axes[0].lines] == ["s", "o", "^"]
    assert keys(drawn) == ["Q–K", "Q–V", "K–V"]


def test_units_are_points_counted_where_they_can_be_paired() -> None:
    """Where Q is wider than K and V, n is that of the panel that has points."""
    cases = {
        (16, 16, 16): (R, "Unit by unit, r from −0.12 to −0.12 (layer 6, token 1 of the prompt, 16 units)"),
        (576, 192, 192): ({"kv": 0.1}, "Unit by unit, r from 0.10 to 0.10 (layer 6, token 1 of the prompt, 192 units)"),
        (9, 8, 7): ({}, "Units cannot be paired (layer 6, token 1 of the prompt)"),
    }
    for widths, (r, said) in cases.items():
        units = {name: RNG.normal(size=width) for name, width in zip("qkv", widths, strict=True)}
        drawn = scatter.activation_scatter(units, r, 6, 1)
        assert drawn.get_suptitle() == said
        assert titles(drawn) == [LABELS[pair] + (f": r = {number(r[pair])}" if pair in r else "") for pair in PAIRS]


def test_too_many_points_are_shown_as_their_density() -> None:
    many = scatter.MOST_POINTS + 1
    for points, shown in ((many - 1, "6,000 pairs of words)"), (many, "6,001 pairs of words, log density)")):
        values = {name: RNG.uniform(size=points) for name in "qkv"}
        drawn = scatter.rsa_scatter(values, R, "cosine", 6, "pearson", "", np.full(points, True))
        assert " ".join(drawn.get_suptitle().split()).endswith(shown)
        assert [bool(axes.lines) for axes in drawn.axes] == [points < many] * 3
    assert drawn.axes[0].collections[0].get_array().sum() == many


@pytest.mark.parametrize(("categories", "named"), [(3, 3), (17, 17), (73, 22), (400, 22)])
def test_names_of_categories_do_not_run_into_each_other(categories: int, named: int) -> None:
    """As many as have room are named; the first is always among them."""
    listed = [f"name {i:03d}" for i in range(categories) for _ in range(2)]
    drawn = words.similarity_matrices(dict.fromkeys("qkv", np.zeros(pairs_of(len(listed)))), listed, "cosine", 6)
    drawn.draw_without_rendering()
    texts = drawn.axes[0].get_yticklabels()
    assert 0.7 * named <= len(texts) <= named
    assert texts[0].get_text() == "name 000"
    spans = sorted(tuple(text.get_window_extent().get_points()[:, 1]) for text in texts)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("metric", "lowest", "limits"),
    [("cosine", 0.5, (0.3, 1)), ("cosine", -0.13, (-0.2, 1)), ("euclidean", -31.4, (-31.4, 0.9))],
)
def test_similarity_matrices_share_limits_that_hold_the_data(metric: str, lowest: float, limits: tuple) -> None:
    matrices = {"q": np.full(21, 0.9), "k": np.linspace(lowest, 0.9, 21), "v": np.full(21, 0.9)}
    drawn = words.similarity_matrices(matrices, CATEGORIES, metric, 6)
    assert [axes.images[0].get_clim() for axes in drawn.axes if axes.images] == [pytest.approx(limits)] * 3
    assert len(drawn.axes) == 4  # one colour bar
    assert len(drawn.axes[0].lines) == 2  # between two categories


def test_a_series_of_matrices_shares_limits_and_states_them(tmp_path: Path) -> None:
    layers = [np.full((7, 7), value) for value in (0.1, 0.9, 0.5)]
    seen, places = {}, set()
    for drawn in words.similarity_series("k", layers, CATEGORIES, "cosine", (-0.2, 1.0), [3, 7, 11]):
        drawn.savefig(tmp_path / "a.png")
        axis, bar = drawn.axes
        (image,) = axis.images
        seen[axis.get_title()] = image.get_array()[0, 1]
        places.add(axis.get_position().bounds)
        assert image.get_clim() == (-0.2, 1.0)
        assert bar.get_ylabel() == "Cosine similarity, −0.20 to 1.00 in all layers"
        assert len(axis.lines) == 2
    assert seen == {"K, layer 3": 0.1, "K, layer 7": 0.9, "K, layer 11": 0.5}
    assert len(places) == 1


def test_blocks_of_very_many_words_stay_visible(tmp_path: Path) -> None:
    """Where words outnumber pixels, a pixel is a mean of words, not one of them."""
    checks = np.indices((3000, 3000)).sum(axis=0) % 2 * 0.2  # nearest pixels would show black or stripes
    (drawn,) = words.similarity_series("q", [checks], ["a"] * 1500 + ["b"] * 1500, "cosine", (0.0, 0.2), [0])
    drawn.savefig(tmp_path / "a.png", dpi=100)
    shown = plt_image.imread(tmp_path / "a.png")[200:400, 100:400, :3]
    assert shown.reshape(-1, 3).std(axis=0).max() < 0.1


def test_a_palette_looks_like_savefig_and_mapped_colours_are_kept(tmp_path: Path) -> None:
    matrices = partial(words.similarity_matrices, dict.fromkeys("qkv", np.zeros(21)), CATEGORIES, "cosine", 6)
    with style.sheet("dark"):
        for draw, furthest in ((partial(profiles.rsa_profile, RSA, LAYERS, "pearson", *UNTESTED), 0.1), (matrices, 0)):
            draw().savefig(tmp_path / "savefig.png", dpi=150)
            style.save(draw(), tmp_path / "save.png", dpi=150)
            saved, full = (plt_image.imread(tmp_path / name)[..., :3] for name in ("save.png", "savefig.png"))
            np.testing.assert_allclose(saved, full, atol=furthest)


def test_category_distributions_are_densities_over_common_bins_of_freedman_and_diaconis() -> None:
    values = {name: RNG.normal(size=1000) for name in "qkv"}
    drawn = scatter.category_distributions(values, np.arange(1000) < 400, dict.fromkeys("qkv", 2.5), "cosine", 6)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in drawn.axes}) == 1
    width = 2 * np.mean([np.subtract(*np.percentile(one, [75, 25])) for one in values.values()]) / 10
    outlines = [patch.get_xy() for axes in drawn.axes for patch in axes.patches]
    for x, y in map(np.transpose, outlines):
        np.testing.assert_allclose(x, outlines[0][:, 0])
        assert np.diff(np.unique(x)) == pytest.approx(width, rel=0.05)
        assert abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2 == pytest.approx(1)


def test_distances_of_other_sizes_have_bins_of_their_own_and_not_too_many() -> None:
    values = {"q": SIMILARITY["q"], "k": 100 * SIMILARITY["k"], "v": np.append(1e6, SIMILARITY["v"][1:])}
    q, k, v = scatter.category_distributions(values, WITHIN, dict.fromkeys("qkv", 2.5), "euclidean", 6).axes
    assert k.get_xlim()[1] > 10 * q.get_xlim()[1]
    assert len(np.unique(v.patches[0].get_xy()[:, 0])) <= 103


def choices() -> tuple[dict, pd.DataFrame]:
    """Make what Figure 12 draws: in the last layer K–V's RSA above random maps by one choice of two, V's d below."""
    nulls = {}
    for measure, name in [("rsa", pair) for pair in PAIRS] + [("d", name) for name in "qkv"]:
        for transform in ("none", "center"):
            apart = (measure, name, transform) == ("rsa", "kv", "none") or (measure, name) == ("d", "v")
            null = {**cells(0.5), "p_familywise": np.array([1, 1, 1, 1, 0.05 if apart else 1])}
            nulls[measure, name, transform, "pearson", "spectrum"] = null
            nulls[measure, name, transform, "pearson", "unbiased"] = cells(0.7 if measure == "rsa" else 0.2)
    verdicts = {
        (measure, EVERY, "spectrum", *choice): counts
        for measure in ("rsa", "d")
        for choice, counts in beyond(nulls, measure, names_of(measure), "spectrum", 0.05).items()
    }
    return nulls, pd.DataFrame(verdicts.values(), pd.MultiIndex.from_tuples(verdicts)).sort_index()


def test_other_choices_are_counted_and_the_title_says_the_verdict() -> None:
    nulls, verdicts = choices()
    drawn = controls.robustness(nulls, verdicts, 0.05, LAYERS)
    shares = np.zeros((6, 5))
    shares[[2, 5], 4] = 0.5, -1
    np.testing.assert_allclose(drawn.axes[0].images[0].get_array(), shares)
    assert [list(points) for points in drawn.axes[0].lines[0].get_data()] == [[4], [5]]
    assert drawn.get_suptitle() == (
        "Beyond random maps under every choice?\nRSA: none of 15 (only raw: above). Cohen's d: 1 below of 15"
    )
    verdicts[["above", "below"]] = 0
    said = controls.robustness(nulls, verdicts, 0.05, LAYERS).get_suptitle()
    assert said.endswith("Cohen's d: none of 14, whatever the choice")


def test_layers_are_named_by_the_models_own_numbers() -> None:
    heads = {name: RNG.uniform(0, 1, (5, 3)) for name in (*"qkv", *PAIRS)}
    robust = controls.robustness(*choices(), 0.05, LAYERS)
    drawn = profiles.rsa_profile(RSA, LAYERS, "pearson", *UNTESTED), robust, maps.heads(heads, {}, LAYERS)
    axes = [(axes.xaxis, axes.get_xlabel()) for one in drawn for axes in one.axes]
    compared = maps.layer_maps({"q": RNG.uniform(0, 1, (5, 4))}, ("a", "b"), (LAYERS, [0, 2, 4, 6]))
    axes += [(compared.axes[0].yaxis, LAYER)]
    for one in (*drawn, compared):
        one.draw_without_rendering()
    shown = [ticks(axis) for axis, label in axes if label == LAYER]
    assert shown == [dict(enumerate(map(str, LAYERS)))] * (1 + 1 + 3 + 1)
    assert ticks(compared.axes[0].xaxis) == {0: "0", 1: "2", 2: "4", 3: "6"}


def ticks(axis: Axis) -> dict[float, str]:
    shown = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
    return {place: label.get_text() for place, label in shown if label.get_text()}


@pytest.mark.parametrize("known", [True, False])
def test_within_vs_across_is_hollow_where_nothing_is_decided_and_shows_the_line(known: bool) -> None:
    decided = {pair: np.array([True, False, True, True, True]) for pair in PAIRS if known}
    for shift in (-1.0, 0.0, 1.0):
        rsa = {name: values + shift * name.endswith("across") for name, values in RSA.items()}
        drawn = profiles.within_vs_across(rsa, decided, "90 %")
        axes = drawn.axes[0]
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert left < high  # the line y = x enters
        assert low < right
        for place, pair in enumerate(PAIRS):
            full, hollow = axes.lines[2 * place : 2 * place + 2]
            for points, some in ((full, [0, 2, 3, 4] if known else slice(None)), (hollow, [1] if known else [])):
                expected = rsa[f"{pair}_across"][some], rsa[f"{pair}_within"][some]
                np.testing.assert_allclose(points.get_data(), expected)
            assert hollow.get_markerfacecolor() == "none"
        assert ("hollow: 90 % interval of the difference holds 0" in keys(drawn)) == known
        above = sum(int((rsa[f"{pair}_within"] > rsa[f"{pair}_across"]).sum()) for pair in PAIRS)
        assert drawn.get_suptitle().startswith(f"Within above across in {above} of 15 scores")


@pytest.mark.parametrize("bands", [True, False])
@pytest.mark.parametrize("marks", [True, False])
def test_bands_and_marks_can_be_left_out(bands: bool, marks: bool) -> None:
    run = SimpleNamespace(inference={("rsa", pair): UNSURE for pair in PAIRS}, bands=bands, marks=marks)
    drawn = profiles.rsa_profile(RSA, LAYERS, "pearson", profiles.shown(run), 0.05, [])
    (axis,) = drawn.axes
    assert len(axis.collections) == 3 * bands
    assert (axis.get_ylim()[0] < -0.31) == bands
    hollow = [line for line in axis.lines if line.get_linestyle() == "None"]
    assert [list(line.get_xdata().round()) for line in hollow] == [[0, 3]] * 3 * marks
    assert keys(drawn)[3:] == ["95 % interval"] * bands + [f"family-wise p {sign} 0.05" for sign in "≤>"] * marks


def test_intervals_and_tests_of_the_category_figures_and_marks_that_occur() -> None:
    scores = {(kind, pair): UNSURE for kind in ("rsa_within", "rsa_across") for pair in PAIRS}
    drawn = profiles.category_profile(D, RSA, LAYERS, scores | {("d", name): UNSURE for name in "qkv"}, 0.1)
    assert [len(axes.collections) for axes in drawn.axes] == [3, 3, 3]
    hollow = [[line for line in axes.lines if line.get_linestyle() == "None"] for axes in drawn.axes]
    assert [len(lines) for lines in hollow] == [3, 0, 0]
    assert keys(drawn)[6:] == ["90 % interval", "Cohen's d: family-wise p ≤ 0.1", "Cohen's d: family-wise p > 0.1"]
    sure = {("rsa", pair): {"p_familywise": np.zeros(5)} for pair in PAIRS}
    drawn = profiles.rsa_profile(RSA, LAYERS, "pearson", sure, 0.05, [])
    assert keys(drawn)[3:] == ["family-wise p ≤ 0.05"]


def test_controls_profile() -> None:
    rsa, d = dict.fromkeys(PAIRS, np.full(5, 0.7)), dict.fromkeys("qkv", np.full(5, 2.0))
    values = {("rsa_to_input", matrix): 0.8 for matrix in "qkv"} | {("partial_rsa", pair): -0.5 for pair in PAIRS}
    given = {names: cells(value) for names, value in (values | {("d_of_input", "x"): 4}).items()}
    for nulls in ({}, {("partial_rsa", pair, "spectrum"): cells(0.1) for pair in PAIRS}):
        left, right = controls.controls(rsa, d, given, nulls, 0.05, LAYERS).axes
        assert left.get_ylim()[0] < -0.5
        assert right.get_ylim()[1] > 4
        lines = [list(np.round(line.get_ydata(), 9)) for line in left.lines]
        assert [[0.7] * 5 in lines, [-0.5] * 5 in lines, [0.2] * 5 in lines] == [True, True, bool(nulls)]


RUNGS = {"gaussian": 0.9, "spectrum": 0.8, "orientation": 0.82, "unbiased": 0.7, "trained": 0.75}
STEPS = {"narrow spectrum": -0.1, "shared directions": 0.02, "alignment": -0.12, "bias": 0.05}


@pytest.mark.parametrize("bias", [0.0, 0.05])
def test_ladder_goes_from_rung_to_rung_and_names_no_bias_of_a_model_without(bias: float, monkeypatch) -> None:
    monkeypatch.setattr(controls, "RUNGS", {rung: controls.RUNGS[rung] for rung in RUNGS})  # whatever is added
    nulls = {("rsa", pair, rung): cells(value) for pair in PAIRS for rung, value in RUNGS.items()}
    nulls["rsa", "kv", "gaussian"]["value"] = np.array([0.9, 0.9, 0.9, 0.9, 0.1])
    nulls |= {
        ("rsa_step", pair, step): cells(value) for pair in PAIRS for step, value in (STEPS | {"bias": bias}).items()
    }
    of_heads = SimpleNamespace(heads={}, nulls=nulls, head_nulls={"q": 0}, numbers=LAYERS)
    assert figures()["fig13_heads"].values(of_heads)[1] == ({} if bias else {"q": 0})  # which have no bias
    drawn = controls.ladder(nulls, LAYERS)
    *layers, mean, end = drawn.axes[2].lines
    expected = [*RUNGS.values()][: 5 if bias else 4]
    assert [list(line.get_ydata()) for line in layers] == [expected] * 4 + [[0.1, *expected[1:]]]
    np.testing.assert_allclose(mean.get_ydata(), [0.74, *expected[1:]])
    assert list(end.get_ydata()) == [expected[-1]] * 5
    said = ["+0.06", "+0.02", "−0.12", "+0.05"]
    assert [text.get_text() for text in drawn.axes[2].texts] == said[: len(expected) - 1]
    assert drawn.axes[0].get_xticklabels()[-1].get_text() == "trained"
    assert drawn.get_suptitle().endswith("alignment changes RSA most (−0.12 on average)")


def test_a_rung_that_is_added_is_drawn_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    rungs = {"gaussian": "", "shuffled": "units", **{rung: step for rung, step in controls.RUNGS.items() if step}}
    monkeypatch.setattr(controls, "RUNGS", rungs)
    nulls = {("rsa", pair, rung): cells(0.5) for pair in PAIRS for rung in rungs}
    nulls |= {("rsa_step", pair, step): cells(0.1) for pair in PAIRS for step in rungs.values()}
    assert controls.ladder(nulls, LAYERS).axes[0].get_xticklabels()[1].get_text() == "shuffled"


@pytest.mark.parametrize(
    ("r", "units", "maps"),
    [({"kv": np.full(5, -0.123)}, "r from −0.12 to −0.12", ()), ({}, "cannot be paired", ([-0.9] * 5, [0.8] * 5))],
)
def test_the_paradox_has_one_axis_and_says_its_numbers(r: dict, units: str, maps: tuple) -> None:
    drawn = profiles.paradox(r, dict.fromkeys(PAIRS, np.linspace(0.5, 0.9, 5)), LAYERS, maps, "90 %")
    assert drawn.get_suptitle() == f"Units: {units}. Geometries: RSA from 0.50 to 0.90"
    assert len({axes.get_ylim() for axes in drawn.axes}) == 1
    assert (drawn.axes[0].get_ylim()[0] < -0.9) == bool(maps)
    dashed = [list(line.get_ydata()) for line in drawn.axes[1].lines if line.get_linestyle() == "--"]
    assert dashed == [*maps]
    assert keys(drawn)[3:] == ["random maps with the trained spectra (90 %)"] * bool(maps)


def test_head_maps_have_layers_across_heads_up_and_a_ring_around_the_largest() -> None:
    scores = {name: RNG.uniform(-0.34, 0.61, (5, 3)) for name in (*"qkv", *PAIRS)}
    scores["v"][4, 2], scores["kv"][1, 0] = 3.17, 0.98
    nulls = {names: {"low": np.full((5, 3), -1.0), "high": np.full((5, 3), 0.97)} for names in HEADS.values()}
    drawn = maps.heads(scores, nulls, LAYERS)
    panels = [axes for axes in drawn.axes if axes.images]
    counted = "1 above their null, 0 below"
    assert titles(drawn)[5] == f"K–V: 0.98 in L7H0\n{counted}"
    for axes, name in zip(panels, scores, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), scores[name].T)
        assert axes.images[0].origin == "lower"
        ring = np.unravel_index(scores[name].argmax(), (5, 3))
        assert all((line.get_xdata()[0], line.get_ydata()[0]) == ring for line in axes.lines[:2])
        assert [line.get_marker() for line in axes.lines] == ["o"] * 2 + ["^"] * int(2 * (scores[name] > 0.97).any())
        for line in axes.lines[2:]:
            np.testing.assert_array_equal(line.get_data(), np.argwhere(scores[name] > 0.97).T)
    assert [{axes.images[0].get_clim()[1] for axes in row} for row in (panels[:3], panels[3:])] == [{3.2}, {1.0}]
    assert not any("null" in title for title in titles(maps.heads(scores, {}, LAYERS)))


def test_a_head_that_query_heads_share_counts_once() -> None:
    """Six query heads over two of K and V, one of them dead; a pair without any score is not named."""
    shared = {name: np.repeat(RNG.uniform(0.6, 1, (5, 2)), 3, axis=1) for name in ("k", "v", "kv")}
    scores = {name: shared.get(name, RNG.uniform(0.6, 1, (5, 6))) for name in (*"qkv", *PAIRS)}
    scores["k"][:, 0:3], scores["qv"][:] = np.nan, np.nan
    nulls = {names: {"low": np.full((5, 6), 0.5), "high": np.full((5, 6), 0.5)} for names in HEADS.values()}
    drawn = maps.heads(scores, nulls, LAYERS)
    panels = [axes for axes in drawn.axes if axes.images]
    said = {name: axes.get_title().split("\n")[1] for name, axes in zip(scores, panels, strict=True)}
    above = {"q": 30, "k": 5, "v": 10, "qk": 30, "qv": 0, "kv": 10}
    assert said == {name: f"{count} above their null, 0 below" for name, count in above.items()}
    assert drawn.get_suptitle().startswith("30 heads of Q, 10 of K and V")
    of_heads = {HEADS[name]: {"value": values} for name, values in scores.items()}
    caption = figures()["fig13_heads"].caption(SimpleNamespace(heads=of_heads, numbers=LAYERS))
    assert caption.endswith("6 query heads a layer share 2 of K and V: the first that shares is named.")
    layer, k = int(np.nanargmax(scores["k"][:, 3])), np.nanmax(scores["k"])
    assert f", K {k:.2f} (layer {LAYERS[layer]}, head 3), V " in caption
    assert re.search(r"Largest RSA: Q–K [^–]*, K–V", caption)


def test_sentences_where_nothing_is_reliable() -> None:
    values = {"rsa": 0.6, "rsa_across": 0.6, "d": 0.6, "rsa_corrected": np.nan, "reliability": -0.34}
    scores = {
        (measure, name, sentence): cells(value)
        for measure, value in values.items()
        for name in (PAIRS if measure.startswith("rsa") else "qkv")
        for sentence in ("all", "one", "two")
    }
    drawn = others.sentences(scores, LAYERS)
    assert drawn.get_suptitle() == "Between 2 sentences scores differ: RSA by up to 0.00, Cohen's d by up to 0.00"
    caption = figures()["fig15_sentences"].caption(SimpleNamespace(sentences=scores))
    assert caption.endswith("corrected for attenuation not defined, as no matrix is reliable.")


def test_units_that_query_heads_share_or_that_cannot_be_paired_are_told() -> None:
    units = {"q": RNG.normal(size=12), **{name: np.tile(RNG.normal(size=4), 3) for name in "kv"}}
    run = SimpleNamespace(units=units, correlation={pair: np.zeros(1) for pair in PAIRS}, context=1, place=0)
    points, profile = (figures()[name].caption for name in ("fig2_activation_scatter", "fig3_activation_correlation"))
    assert points(run).endswith("Distinct units: K 4 and V 4, repeated for the query heads that share them.")
    run.units = SIMILARITY
    assert points(run).endswith("K–V 0.00.")
    run.correlation = {}
    told = "Q–K, Q–V and K–V cannot be paired unit by unit: their numbers of units differ."
    assert points(run) == profile(run) == told
    assert profiles.activation_correlation({}, LAYERS).get_suptitle() == "Units cannot be paired"


def test_in_the_place_of_a_figure_without_values_stands_the_reason() -> None:
    run = SimpleNamespace(nulls={}, aside="", reasons={"nulls": "the model has no linear maps"})
    drawn = figures()["fig10_ladder"].drawing(run)()
    assert drawn.axes[0].texts[0].get_text() == "not computed: the model has no linear maps"


def test_dollars_are_dollars_and_letters_that_the_font_lacks_no_warning(tmp_path: Path, recwarn) -> None:
    """In words, categories, ticks and legends; two dollars would be read as mathematics, or as mistakes in it."""
    names = ["b $_$", "$x_1$ fruit", "_hidden", "a \\$", "你好"]
    points = {name: RNG.normal(size=(10, 2)) for name in "qkv"}
    with style.sheet("dark"):
        drawn = word_map.word_map(points, dict.fromkeys("qkv", 0.1), names * 2, names * 2, 3)
        assert keys(drawn) == names
        matrices = words.similarity_matrices(dict.fromkeys("qkv", np.zeros(45)), sorted(names * 2), "cosine", 6)
        for one in (drawn, matrices):
            one.savefig(tmp_path / "a.png")
    assert len(recwarn) == 0


def test_letters_that_the_font_lacks_are_named_once() -> None:
    assert style.missing_letters(["galaxy", "Łódź", "œuf"]) == ""
    said = style.missing_letters(["galaxy", "你好", "好"])
    assert said == "boxes stand in figures for letters that DejaVu Sans lacks: 你好 (in 你好, 好)"


@pytest.mark.parametrize("most", [6, 10, 16, 24])
def test_short_names_differ_as_the_long_ones_do(most: int) -> None:
    patterns = {"category number {}": 20, "{} is a category's number": 20, "a category {} in the middle": 100}
    lists = [[pattern.format(n) for n in range(many)] for pattern, many in patterns.items()]
    for names in (*lists, ["short", "a name that is long", "short"]):
        short = style.shortened(names, most)
        assert all(len(name) <= most for name in short)
        assert len(set(short)) == len(set(names))
        assert all(one == other for one, other in zip(short, names, strict=True) if len(other) <= most)


def test_layer_maps_have_b_across_and_mark_the_best_of_each_layer() -> None:
    rsa = {name: RNG.uniform(0.2, 0.9, (4, 6)) for name in "qv"}
    drawn = maps.layer_maps(rsa, ("main", "exp"), (LAYERS[:4], range(6)))
    assert drawn.get_suptitle() == "A: main\nB: exp"
    assert labels(drawn)[0] == ("Layer of B", "Layer of A")
    for axes, scores in zip(drawn.axes, rsa.values(), strict=False):
        np.testing.assert_array_equal(axes.images[0].get_array(), scores)
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), scores.argmax(axis=1))


def test_a_figure_is_added_by_one_function_in_one_file(undrawn: Project) -> None:
    """The one of the README."""
    page = (undrawn.root / "stages/README.md").read_text(encoding="utf-8")
    (example,) = (code for code in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if "@figure" in code)
    (undrawn.root / "stages/plotting/new.py").write_text(example.replace("20,", f"{len(figures())},", 1), "utf-8")
    assert undrawn.repro("report") == ["figures", "report"]
    *_, (name, caption) = read_page(undrawn).captions.items()
    assert name == f"fig{len(figures())}_spread"
    assert re.fullmatch(r"Largest: 0\.\d\d\.", caption)


def test_figures_are_numbered_without_gaps_and_no_number_is_taken_twice() -> None:
    assert [entry.number for entry in figures().values()] == [*range(len(figures()))]
    known = {"values": lambda run: (), "caption": lambda run: "", "alternative": ""}
    with pytest.raises(ValueError, match="two figures have the number 1: fig1_masks, sheet"):
        figure(1, "", **known)(style.sheet)


def test_every_theme_has_a_style_sheet() -> None:
    sheets = {path.stem for path in Path(style.__file__).parent.glob("*.mplstyle")}
    assert {*Figures.model_json_schema()["properties"]["theme"]["enum"]} == sheets - {"base"}
