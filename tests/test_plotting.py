"""The figures: titles, axes, markers and limits are those of the design, whatever the data."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import Project
from matplotlib import image as plt_image
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_page import read_page

from stages.artefacts.schema import TABLES
from stages.geometry.names import PAIRS
from stages.geometry.pairs import category_masks, within_category
from stages.pipeline.schema import Figures
from stages.plotting import controls, ladder, maps, profiles, scatter, sentences, style, word_map, words
from stages.plotting.parallel import Drawing, draw_all
from stages.plotting.registry import figure, figures
from stages.plotting.uncertainty import Uncertainty

CATEGORIES = ["space"] * 3 + ["fruit"] * 4
RNG = np.random.default_rng(0)
RSA = {f"{pair}{kind}": RNG.uniform(0.4, 0.9, 5) for pair in PAIRS for kind in ("", "_within", "_across")}
R = dict.fromkeys(PAIRS, -0.123)
LAYERS = [3, 7, 11, 15, 19]
SIMILARITY = {name: RNG.uniform(0.3, 1, 21) for name in "qkv"}


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def labels(figure: Figure) -> list[tuple[str, str]]:
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


def markers(axes) -> list[str]:
    return [line.get_marker() for line in axes.lines if line.get_marker() not in ("", "None", None)]


def test_masks() -> None:
    figure = words.masks(category_masks(CATEGORIES))
    assert titles(figure) == [
        "A) Same-category mask",
        "B) Upper-triangular mask",
        "C) Within-category mask",
        "D) Across-category mask",
    ]
    assert labels(figure) == [("Words", "Words")] * 4
    assert [int(axes.images[0].get_array().sum()) for axes in figure.axes] == [25, 21, 9, 12]


def test_activation_scatter() -> None:
    figure = scatter.activation_scatter({name: RNG.normal(size=16) for name in "qkv"}, R, 6, 1)
    assert titles(figure) == ["Q by K (r = −0.12)", "Q by V (r = −0.12)", "K by V (r = −0.12)"]
    assert labels(figure)[0] == ("Q activations", "K activations")
    assert [markers(axes) for axes in figure.axes] == [["s"], ["o"], ["^"]]
    assert len(figure.axes[0].lines[0].get_xdata()) == 16
    assert figure.get_suptitle() == "Layer 6, token 1 of the prompt, n = 16 units"


def test_units_are_counted_where_they_can_be_paired() -> None:
    """Grouped queries: Q is wider than K and V, and n is that of the panel that has points."""
    widths = {"q": 576, "k": 192, "v": 192}
    figure = scatter.activation_scatter({n: RNG.normal(size=w) for n, w in widths.items()}, {"kv": 0.1}, 6, 1)
    assert figure.get_suptitle().endswith("n = 192 units")
    widths["v"] = 128
    figure = scatter.activation_scatter({n: RNG.normal(size=w) for n, w in widths.items()}, {}, 6, 1)
    assert figure.get_suptitle() == "Layer 6, token 1 of the prompt"


def test_rsa_scatter_names_the_metric() -> None:
    figure = scatter.rsa_scatter(SIMILARITY, R, "cosine", 6)
    assert titles(figure)[2] == "K and V (r = −0.12)"
    assert labels(figure)[0] == ("Q cossim", "K cossim")
    assert labels(scatter.rsa_scatter(SIMILARITY, R, "euclidean", 6))[0] == ("Q −distance", "K −distance")


def test_too_many_points_are_shown_as_their_density() -> None:
    many = scatter.MOST_POINTS + 1
    for points, shown in ((many - 1, "n = 6,000 word pairs"), (many, "n = 6,001 word pairs, log density")):
        figure = scatter.rsa_scatter({name: RNG.uniform(size=points) for name in "qkv"}, R, "cosine", 6)
        assert figure.get_suptitle().endswith(shown)
        assert [len(axes.lines) for axes in figure.axes] == [points < many] * 3
    cells = figure.axes[0].collections[0].get_array()
    assert cells.sum() == many


@pytest.mark.parametrize(("categories", "named"), [(3, 3), (17, 17), (73, 25), (400, 28)])
def test_names_of_categories_do_not_run_into_each_other(categories: int, named: int) -> None:
    """As many as have room are named; the first is always among them."""
    labels = [f"name {i:03d}" for i in range(categories) for _ in range(2)]
    figure = words.similarity_matrices(dict.fromkeys("qkv", np.eye(len(labels))), labels, "cosine", 6)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    for texts, side in ((axis.get_xticklabels(), 0), (axis.get_yticklabels(), 1)):
        assert 0.7 * named <= len(texts) <= named
        assert texts[0].get_text() == "name 000"
        spans = sorted(tuple(text.get_window_extent().get_points()[:, side]) for text in texts)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize(("comparison", "symbol"), [("spearman", "ρ"), ("cka_debiased", "CKA")])
def test_scores_are_called_what_they_are(comparison: str, symbol: str) -> None:
    figure = scatter.rsa_scatter(SIMILARITY, R, "cosine", 6, comparison)
    assert titles(figure)[0] == f"Q and K ({symbol} = −0.12)"
    assert "RSA scores (" in labels(profiles.rsa_profile(RSA, LAYERS, comparison))[0][1]


def test_similarity_matrices_share_limits_that_hold_the_data() -> None:
    matrices = {name: np.eye(7) for name in "qkv"}
    for values in matrices.values():
        values[np.triu_indices(7, 1)] = np.linspace(-0.13, 0.9, 21)
    figure = words.similarity_matrices(matrices, CATEGORIES, "cosine", 6)
    assert titles(figure) == ["A) Q cosine similarity", "B) K cosine similarity", "C) V cosine similarity"]
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert all(image.get_clim() == pytest.approx((-0.2, 1.0)) for image in images)
    assert {image.get_cmap().name for image in images} == {"magma"}
    assert len(figure.axes) == 4  # one colour bar
    assert len(figure.axes[0].lines) == 2  # between two categories


def test_a_series_of_matrices_shares_limits_and_states_them(tmp_path: Path) -> None:
    layers = [np.full((7, 7), value) for value in (0.1, 0.9, 0.5)]
    seen = []
    for drawn in words.similarity_series("k", layers, CATEGORIES, "cosine", (-0.2, 1.0), [3, 7, 11]):
        drawn.savefig(tmp_path / "a.png")
        axis, bar = drawn.axes
        (image,) = axis.images
        seen.append((axis.get_title(), image.get_array()[0, 1], image.get_clim(), tuple(axis.get_position().bounds)))
        assert bar.get_ylabel() == "Cosine similarity, −0.20 to 1.00 in all layers"
        assert len(axis.lines) == 2
    assert [title for title, *_ in seen] == ["K, layer 3", "K, layer 7", "K, layer 11"]
    assert [value for _, value, *_ in seen] == [0.1, 0.9, 0.5]
    assert {clim for *_, clim, _ in seen} == {(-0.2, 1.0)}
    assert len({place for *_, place in seen}) == 1


def test_blocks_of_very_many_words_stay_visible(tmp_path: Path) -> None:
    """Where words outnumber pixels, a pixel is a mean of words, not one of them."""
    categories = ["a"] * 1500 + ["b"] * 1500
    checks = np.indices((3000, 3000)).sum(axis=0) % 2 * 0.2  # nearest pixels would show black or stripes
    (figure,) = words.similarity_series("q", [checks], categories, "cosine", (0.0, 0.2), [0])
    figure.savefig(tmp_path / "a.png", dpi=100)
    drawn = plt_image.imread(tmp_path / "a.png")[200:400, 100:400, :3]
    assert drawn.reshape(-1, 3).std(axis=0).max() < 0.1


def test_a_figure_that_is_drawn_once_is_that_of_savefig(tmp_path: Path) -> None:
    with style.sheet("dark"):
        for draw in (
            lambda: profiles.rsa_profile(RSA, LAYERS, "pearson"),
            lambda: words.similarity_matrices(dict.fromkeys("qkv", np.eye(7)), CATEGORIES, "cosine", 6),
        ):
            draw().savefig(tmp_path / "savefig.png", dpi=150)
            style.save(draw(), tmp_path / "save.png", dpi=150)
            assert (tmp_path / "save.png").read_bytes() == (tmp_path / "savefig.png").read_bytes()


def test_figures_drawn_at_once_are_those_drawn_one_by_one(tmp_path: Path) -> None:
    draw = partial(profiles.rsa_profile, RSA, LAYERS)
    other = partial(style.without_values, "x")
    draw_all([Drawing("light", draw, tmp_path / "a.png", 60), Drawing("dark", other, tmp_path / "b.png", 60)])
    style.themed("light", draw, tmp_path / "c.png", 60)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert (tmp_path / "b.png").exists()


def test_an_error_while_several_are_drawn_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        draw_all([Drawing("light", partial(profiles.rsa_profile, {}, LAYERS), tmp_path / "a.png", 60)])


@pytest.mark.parametrize(
    ("values", "limits"), [([0.5, 0.9], (0.3, 1.0)), ([0.21, 0.9], (0.2, 1.0)), ([-0.4, 0.9], (-0.4, 1.0))]
)
def test_limits_widen_rather_than_clip(values: list[float], limits: tuple[float, float]) -> None:
    assert style.widened([np.array(values)]) == pytest.approx(limits)


def test_limits_of_an_unbounded_metric_are_the_datas() -> None:
    assert style.widened([np.array([-31.4, -2.0])], None) == (-31.4, -2.0)


def test_category_distributions_are_densities() -> None:
    within = within_category(CATEGORIES)
    figure = scatter.category_distributions(SIMILARITY, within, dict.fromkeys("qkv", 2.5), "cosine", 6)
    assert figure.get_suptitle() == "Category-specific similarity distributions, layer 6"
    assert titles(figure) == ["Q (d = 2.50)", "K (d = 2.50)", "V (d = 2.50)"]
    assert labels(figure)[0] == ("Cosine similarity", "Density")
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    bins = [line.get_xdata() for axes in figure.axes for line in axes.lines]
    assert all(np.array_equal(centres, bins[0]) for centres in bins)
    assert all(line.get_ydata()[[0, -1]].tolist() == [0, 0] for axes in figure.axes for line in axes.lines)


def test_distances_of_other_sizes_have_bins_of_their_own() -> None:
    values = {name: size * SIMILARITY[name] for name, size in {"q": 1, "k": 100, "v": 1}.items()}
    args = within_category(CATEGORIES), dict.fromkeys("qkv", 2.5), "euclidean", 6
    q, k, _ = scatter.category_distributions(values, *args).axes
    assert k.get_xlim()[1] > 10 * q.get_xlim()[1]


def test_densities_have_freedman_diaconis_bins_and_area_one() -> None:
    values = RNG.normal(size=1000)
    edges = scatter._bins(values)
    centres, density = scatter._density(values, edges)
    width = centres[1] - centres[0]
    assert (density * width).sum() == pytest.approx(1)
    iqr = np.subtract(*np.percentile(values, [75, 25]))
    assert width == pytest.approx(2 * iqr / 10, rel=0.05)
    assert len(scatter._bins(np.append(values, 1e6))) <= 103


@pytest.mark.parametrize(
    ("figure", "label"),
    [
        (profiles.activation_correlation(RSA, LAYERS), "Correlation coefficient"),
        (profiles.rsa_profile(RSA, LAYERS), "RSA scores"),
    ],
)
def test_profiles_over_layers(figure: Figure, label: str) -> None:
    assert labels(figure)[0] == ("Transformer layer", label)
    assert markers(figure.axes[0]) == ["s", "o", "^"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Q–K", "Q–V", "K–V"]


def test_layers_are_named_by_the_models_own_numbers() -> None:
    heads = {name: RNG.uniform(0, 1, (5, 3)) for name in (*"qkv", *PAIRS)}
    robust = {column: RNG.uniform(0.4, 0.9, 5) for column in TABLES["robustness.csv"].flat}
    drawn = (
        profiles.rsa_profile(RSA, LAYERS),
        controls.robustness(robust, LAYERS),
        maps.heads(heads, {}, LAYERS),
    )
    axes = [(axes.xaxis, axes.get_xlabel()) for one in drawn for axes in one.axes]
    within = profiles.within_vs_across(RSA, LAYERS)
    compared = maps.layer_maps({"q": RNG.uniform(0, 1, (5, 4))}, ("a", "b"), (LAYERS, [0, 2, 4, 6]))
    axes += [(within.axes[1].yaxis, "Transformer layer"), (compared.axes[0].yaxis, "Transformer layer")]
    for one in (*drawn, within, compared):
        one.draw_without_rendering()
    shown = [_ticks(axis) for axis, label in axes if label == "Transformer layer"]
    assert shown == [dict(enumerate(map(str, LAYERS)))] * (1 + 6 + 3 + 2)
    assert _ticks(compared.axes[0].xaxis) == {0: "0", 1: "2", 2: "4", 3: "6"}


def _ticks(axis: Axis) -> dict[float, str]:
    labels = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
    return {place: label.get_text() for place, label in labels if label.get_text()}


def test_category_profile() -> None:
    figure = profiles.category_profile({name: RNG.uniform(0, 3, 5) for name in "qkv"}, RSA, LAYERS)
    assert titles(figure) == ["Effect size", "Within", "Across"]
    assert [label for _, label in labels(figure)] == ["Cohen's d", "RSA score", "RSA score"]
    low, high = figure.axes[1].get_ylim()
    assert low < 0.3
    assert high > 1


def test_within_vs_across_has_across_on_x_within_on_y_and_is_square() -> None:
    figure = profiles.within_vs_across(RSA, LAYERS)
    axes = figure.axes[0]
    assert labels(figure)[0] == ("Across-category RSA", "Within-category RSA")
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_aspect() == 1
    points = axes.collections[0]
    np.testing.assert_allclose(points.get_offsets()[:, 0], RSA["qk_across"])
    np.testing.assert_allclose(points.get_offsets()[:, 1], RSA["qk_within"])
    assert points.get_cmap().name == "plasma"
    assert len(axes.collections) == 3


UNSURE = {"low": np.full(5, -0.31), "high": np.full(5, 1.0), "p_familywise": np.array([0.2, 0.05, 0.01, 0.06, 0.0])}


@pytest.mark.parametrize("bands", [True, False])
@pytest.mark.parametrize("marks", [True, False])
def test_bands_and_marks_can_be_left_out(bands: bool, marks: bool) -> None:
    shown = Uncertainty({("rsa", pair): UNSURE for pair in PAIRS}, 0.05, bands, marks)
    figure = profiles.rsa_profile(RSA, LAYERS, "pearson", shown)
    (axis,) = figure.axes
    assert len(axis.collections) == 3 * bands
    assert (axis.get_ylim()[0] < -0.31) == bands
    hollow = [line for line in axis.lines if line.get_linestyle() == "None"]
    assert [list(line.get_xdata()) for line in hollow] == [[0, 3]] * 3 * marks
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ("95 % interval" in texts) == bands
    assert ("family-wise p > 0.05" in texts) == marks


def test_intervals_of_the_category_figures() -> None:
    scores = {(kind, pair): UNSURE for kind in ("rsa_within", "rsa_across") for pair in PAIRS}
    shown = Uncertainty(scores | {("d", name): UNSURE for name in "qkv"}, 0.1, bands=True, marks=True)
    figure = profiles.category_profile({name: RNG.uniform(0, 3, 5) for name in "qkv"}, RSA, LAYERS, shown)
    assert [len(axes.collections) for axes in figure.axes] == [3, 3, 3]
    hollow = [[line for line in axes.lines if line.get_linestyle() == "None"] for axes in figure.axes]
    assert [len(lines) for lines in hollow] == [3, 0, 0]
    said = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert said == ["90 % interval", "Cohen's d: family-wise p ≤ 0.1", "Cohen's d: family-wise p > 0.1"]


def test_the_legend_explains_the_marks_that_occur() -> None:
    passed = {"low": UNSURE["low"], "high": UNSURE["high"], "p_familywise": np.zeros(5)}
    shown = Uncertainty({("rsa", pair): passed for pair in PAIRS}, 0.05, bands=False, marks=True)
    figure = profiles.rsa_profile(RSA, LAYERS, "pearson", shown)
    assert [text.get_text() for text in figure.legends[0].get_texts()][3:] == ["family-wise p ≤ 0.05"]


def test_controls_profile() -> None:
    def cells(value: float) -> dict:
        return {"value": np.full(5, value), "low": np.full(5, value - 0.1), "high": np.full(5, value + 0.1)}

    values = {
        **{("rsa", pair): 0.7 for pair in PAIRS},
        **{("d", matrix): 2.0 for matrix in "qkv"},
        **{("rsa_to_input", matrix): 0.8 for matrix in "qkv"},
        **{("partial_rsa", pair): -0.5 for pair in PAIRS},
        ("d_of_input", "x"): 4,
    }
    nulls = {("d", name, rung): cells(1.0) for name in "qkv" for rung in ("gaussian", "spectrum", "unbiased")}
    figure = controls.controls({names: cells(value) for names, value in values.items()}, nulls, 0.05, LAYERS)
    assert titles(figure) == ["Q–K", "Q–V", "K–V", "Q", "K", "V"]
    assert {label for label, _ in labels(figure)} == {"Transformer layer"}
    assert [axes.get_ylabel() for axes in (figure.axes[0], figure.axes[3])] == ["RSA score", "Cohen's d"]
    assert [len(axes.collections) for axes in figure.axes] == [1, 1, 1, 2, 2, 2]  # partial RSA's interval; two nulls
    assert figure.axes[1].get_ylim()[0] < -0.6
    assert figure.axes[4].get_ylim()[1] > 4
    lines = [list(line.get_ydata()) for line in figure.axes[0].lines]
    for value in (0.7, 0.8, -0.5):
        assert [value] * 5 in lines


def steps_of(bias: float) -> dict:
    """A ladder in which all is alike but for the bias."""
    cells = {end: np.full(5, 0.8) for end in ("value", "low", "high")}
    rungs = ("gaussian", "spectrum", "orientation", "unbiased", "trained")
    nulls = {("rsa", pair, rung): cells for pair in PAIRS for rung in rungs}
    zero = {step: {"value": np.zeros(5)} for step in ladder.STEPS} | {"bias": {"value": np.full(5, bias)}}
    return nulls | {("rsa_step", pair, step): cells for pair in PAIRS for step, cells in zero.items()}


@pytest.mark.parametrize("bias", [0.0, 0.01])
def test_nothing_is_said_of_biases_of_a_model_without(bias: float) -> None:
    figure = ladder.ladder(steps_of(bias), 0.05, LAYERS)
    said = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert ("trained, without bias" in said) == ("bias" in said) == (bias > 0)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert len(hollow) == (bias > 0)


def test_ladder_profile_stacks_steps_from_zero_both_ways() -> None:
    def cells(value: float) -> dict:
        return {"value": np.full(5, value), "low": np.full(5, value - 0.1), "high": np.full(5, value + 0.1)}

    rungs = {"gaussian": 0.9, "spectrum": 0.8, "orientation": 0.82, "unbiased": 0.7, "trained": 0.75}
    steps = {"narrow spectrum": -0.1, "shared directions": 0.02, "alignment": -0.12, "bias": 0.05}
    nulls = {("rsa", pair, rung): cells(value) for pair in PAIRS for rung, value in rungs.items()}
    nulls |= {("rsa_step", pair, step): cells(value) for pair in PAIRS for step, value in steps.items()}
    figure = ladder.ladder(nulls, 0.05, LAYERS)
    assert titles(figure) == ["Q–K", "Q–V", "K–V"] * 2
    assert [len(axes.collections) for axes in figure.axes] == [3, 3, 3, 0, 0, 0]
    bars = [bar for bar in figure.axes[3].patches if bar.get_height()]
    ends = {tuple(sorted(np.round((bar.get_y(), bar.get_y() + bar.get_height()), 6))) for bar in bars}
    assert ends == {(0.0, 0.02), (0.02, 0.07), (-0.1, 0.0), (-0.22, -0.1)}
    total = [line for line in figure.axes[3].lines if len(line.get_ydata()) == 5]
    np.testing.assert_allclose(total[0].get_ydata(), -0.15)


def test_robustness_profile_draws_all_choices() -> None:
    columns = {column: RNG.uniform(0.4, 0.9, 5) for column in TABLES["robustness.csv"].flat}
    figure = controls.robustness(columns, LAYERS)
    assert titles(figure) == ["Q–K", "Q–V", "K–V", "Q", "K", "V"]
    drawn = [list(line.get_ydata()) for axes in figure.axes for line in axes.lines]
    assert sorted(drawn) == sorted(list(values) for values in columns.values())


def test_head_maps_have_layers_across_heads_up_and_a_ring_around_the_largest() -> None:
    scores = {name: RNG.uniform(-0.34, 0.61, (5, 3)) for name in (*"qkv", *PAIRS)}
    scores["v"][4, 2], scores["kv"][1, 0] = 3.17, 0.98
    ends = {f"{n}_null_{end}": np.full((5, 3), v) for n in scores for end, v in (("low", -1.0), ("high", 0.97))}
    figure = maps.heads(scores, ends, [3, 7, 11, 15, 19])
    assert "1 above their null, 0 below" in [text.get_text() for text in figure.axes[5].texts]
    panels = [axes for axes in figure.axes if axes.images]
    assert titles(figure)[2].strip() == "V (L19H2: 3.17)"
    assert titles(figure)[5].strip() == "K–V (L7H0: 0.98)"
    assert [axes.get_xlabel() for axes in panels[3:]] == ["Transformer layer"] * 3
    assert [axes.get_ylabel() for axes in panels[::3]] == ["Head"] * 2
    assert [axes.get_ylabel() for axes in figure.axes if axes not in panels] == ["Cohen's d", "RSA score"]
    for axes, name in zip(panels, scores, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), scores[name].T)
        assert axes.images[0].origin == "lower"
        ring = np.unravel_index(scores[name].argmax(), (5, 3))
        assert all((line.get_xdata()[0], line.get_ydata()[0]) == ring for line in axes.lines)
    assert {axes.images[0].get_clim()[1] for axes in panels[:3]} == {3.2}
    assert {axes.images[0].get_clim()[1] for axes in panels[3:]} == {1.0}


def test_heads_with_biases_are_not_held_against_nulls_without() -> None:
    scores = {name: RNG.uniform(0, 1, (5, 3)) for name in (*"qkv", *PAIRS)}
    ends = {f"{n}_null_{end}": np.full((5, 3), 0.5) for n in scores for end in ("low", "high")}
    figure = maps.heads(scores, ends, LAYERS, biased=True)
    assert not any(axes.texts for axes in figure.axes)
    assert "which have no bias" in figure.get_suptitle()


def test_a_head_that_query_heads_share_counts_once() -> None:
    """Six query heads over two of K and V."""
    shared = {name: np.repeat(RNG.uniform(0.6, 1, (5, 2)), 3, axis=1) for name in ("k", "v", "kv")}
    scores = {name: shared.get(name, RNG.uniform(0.6, 1, (5, 6))) for name in (*"qkv", *PAIRS)}
    scores["k"][:, 0:3] = np.nan  # a dead one
    ends = {f"{n}_null_{end}": np.full((5, 6), 0.5) for n in scores for end in ("low", "high")}
    figure = maps.heads(scores, ends, LAYERS)
    panels = [axes for axes in figure.axes if axes.images]
    said = {name: axes.texts[0].get_text() for name, axes in zip(scores, panels, strict=True)}
    above = {"q": 30, "k": 5, "v": 10, "qk": 30, "qv": 30, "kv": 10}
    assert said == {name: f"{count} above their null, 0 below" for name, count in above.items()}
    assert figure.get_suptitle().startswith("30 heads of Q, 10 of K and V")


def test_the_largest_head_is_named_beside_a_dead_one() -> None:
    scores = {name: np.array([[np.nan, 0.5], [0.7, 0.2]]) for name in (*"qkv", *PAIRS)}
    scores["v"] = np.full((2, 2), np.nan)
    caption = figures()["fig13_heads"].caption(SimpleNamespace(heads=scores, numbers=[3, 7]))
    assert caption.startswith(
        "Largest Cohen's d of a head: Q 0.70 (layer 7, head 0), K 0.70 (layer 7, head 0). Largest"
    )


def sentences_of(corrected: float, reliability: float) -> dict:
    values = dict.fromkeys(("rsa", "rsa_across", "d", *sentences.RELIABILITY), 0.6)
    values |= {"rsa_corrected": corrected, "reliability": reliability}
    return {
        (measure, name, sentence): {end: np.full(5, value) for end in ("value", "low", "high")}
        for measure, value in values.items()
        for name in (PAIRS if measure.startswith("rsa") else "qkv")
        for sentence in ("all", "one", "two")
    }


def test_sentences_where_nothing_is_reliable() -> None:
    """Nothing to correct by, and reliabilities below 0, which are seen."""
    scores = sentences_of(np.nan, -0.34)
    figure = sentences.sentences(scores, 0.05, LAYERS)
    assert figure.axes[3].get_ylim()[0] < -0.34
    caption = figures()["fig15_sentences"].caption(SimpleNamespace(sentences=scores))
    assert caption.endswith("corrected for attenuation not defined, as no matrix is reliable.")


def test_matrices_of_three_widths_have_no_correlations() -> None:
    assert titles(profiles.activation_correlation({}, LAYERS)) == ["Correlations of Q, K and V activations"]
    run = SimpleNamespace(correlation={}, context=1)
    for name in ("fig2_activation_scatter", "fig3_activation_correlation"):
        said = "Q–K, Q–V and K–V cannot be paired unit by unit: their numbers of units differ."
        assert figures()[name].caption(run) == said


def test_an_empty_table_is_not_a_switch() -> None:
    """A model whose Q, K and V are no linear maps has no nulls, though they are switched on."""
    for said in ("nulls.enabled is false", "the model's Q, K and V are no linear maps of their input"):
        entry, run = figures()["fig10_ladder"], SimpleNamespace(nulls={}, aside="", reasons={"nulls": said})
        assert entry.drawing(run)().axes[0].texts[0].get_text() == f"not computed: {said}"
        assert entry.text(run) == f"Not computed: {said}."


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_dollars_are_dollars(theme: str, tmp_path: Path) -> None:
    """In words, categories, ticks and legends; two of them would be read as mathematics, or as mistakes in it."""
    names = ["b $_$", "$x_1$ fruit", "_hidden", "a \\$"]
    points = {name: RNG.normal(size=(8, 2)) for name in "qkv"}
    draw = partial(word_map.word_map, points, dict.fromkeys("qkv", 0.1), [*names, *"cdef"], names * 2, 3)
    style.themed(theme, draw, tmp_path / "a.png", 60)
    matrices = partial(words.similarity_matrices, dict.fromkeys("qkv", np.eye(8)), sorted(names * 2), "cosine", 6)
    style.themed(theme, matrices, tmp_path / "b.png", 60)
    with style.sheet(theme):
        assert [text.get_text() for text in draw().legends[0].get_texts()] == names


def test_letters_that_the_font_lacks_are_named_once(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert style.missing_letters(["galaxy", "Łódź", "œuf"]) == ""
    said = style.missing_letters(["galaxy", "你好", "好"])
    assert said == "boxes stand in figures for letters that DejaVu Sans lacks: 你好 (in 你好, 好)"
    blocks = ["你好"] * 3 + ["b"] * 4
    matrices = partial(words.similarity_matrices, dict.fromkeys("qkv", np.eye(7)), blocks, "cosine", 6)
    style.themed("dark", matrices, tmp_path / "a.png", 60)
    assert len(recwarn) == 0


@pytest.mark.parametrize("most", [6, 10, 16, 24])
def test_short_names_differ_as_the_long_ones_do(most: int) -> None:
    lists = (
        [f"category number {n}" for n in range(20)],
        [f"{n} is a category's number" for n in range(20)],
        [f"a category {n} in the middle" for n in range(100)],
        ["short", "a name that is long", "short"],
    )
    for names in lists:
        short = style.shortened(names, most)
        assert all(len(name) <= most for name in short)
        assert len(set(short)) == len(set(names))
        assert all(one == other for one, other in zip(short, names, strict=True) if len(other) <= most)


def test_layer_maps_have_b_across_and_mark_the_best_of_each_layer() -> None:
    rsa = {name: RNG.uniform(0.2, 0.9, (4, 6)) for name in "qv"}
    figure = maps.layer_maps(rsa, ("main", "exp"), ([3, 7, 11, 15], range(6)))
    assert titles(figure) == ["Q", "V"]
    assert labels(figure)[0] == ("Layer of B", "Layer of A")
    assert figure.get_suptitle() == "A: main\nB: exp"
    for axes, scores in zip(figure.axes, rsa.values(), strict=False):
        np.testing.assert_array_equal(axes.images[0].get_array(), scores)
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), scores.argmax(axis=1))


NEW = """
from stages.plotting.registry import figure
from stages.plotting.style import panels


@figure(
    19,
    "Spread",
    values=lambda run: (run.separability["v_across_sd"],),
    caption=lambda run: f"Of {run.layers} layers.",
    alternative="A line over layers, without anything else",
)
def spread(values):
    drawn, (axis,) = panels(1)
    axis.plot(values)
    return drawn
"""


def test_a_figure_is_added_by_one_function_in_one_file(tiny: Project) -> None:
    (tiny.root / "stages/plotting/new.py").write_text(NEW, encoding="utf-8")
    assert tiny.repro("report") == ["figures", "report"]
    assert plt_image.imread(tiny.root / "plots/figures/fig19_spread.png").shape[0] > 100
    page = read_page(tiny)
    assert [*page.captions][-1] == "fig19_spread"
    assert page.captions["fig19_spread"] == "Of 2 layers."


def test_figures_are_numbered_without_gaps_and_no_number_is_taken_twice() -> None:
    assert [entry.number for entry in figures().values()] == [*range(1, len(figures()) + 1)]
    known = {"values": lambda run: (), "caption": lambda run: "", "alternative": ""}
    with pytest.raises(ValueError, match="two figures have the number 1: fig1_masks, sheet"):
        figure(1, "", **known)(style.sheet)


def test_a_figure_that_is_left_out_says_why() -> None:
    (axes,) = style.without_values("not computed: controls.enabled is false").axes
    assert [text.get_text() for text in axes.texts] == ["not computed: controls.enabled is false"]


@pytest.mark.parametrize(("theme", "background"), [("dark", "#282a2c"), ("light", "#ffffff")])
def test_themes(theme: str, background: str, tmp_path: Path) -> None:
    drawn = []

    def draw() -> Figure:
        drawn.append(profiles.rsa_profile(RSA, LAYERS))
        return drawn[0]

    style.themed(theme, draw, tmp_path / "a.png", 60)
    axes = drawn[0].axes[0]
    assert {to_hex(drawn[0].get_facecolor()), to_hex(axes.get_facecolor())} == {background}
    assert not axes.spines["top"].get_visible()
    assert not axes.spines["right"].get_visible()
    assert axes.title.get_fontweight() == axes.xaxis.label.get_fontweight() == "bold"
    style.themed(theme, lambda: profiles.rsa_profile(RSA, LAYERS), tmp_path / "b.png", 60)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_settings_offer_the_themes_that_there_are() -> None:
    sheets = {path.stem for path in Path(style.__file__).parent.glob("*.mplstyle")}
    assert set(Figures.model_json_schema()["properties"]["theme"]["enum"]) == sheets


@pytest.mark.parametrize("layers", [1, 2, 48])
def test_any_number_of_layers(layers: int, tmp_path: Path) -> None:
    rsa = {name: np.resize(values, layers) for name, values in RSA.items()}
    for draw in (
        lambda: profiles.rsa_profile(rsa, range(layers)),
        lambda: profiles.within_vs_across(rsa, range(layers)),
    ):
        style.themed("dark", draw, tmp_path / "a.png", 50)
