"""Words as points in a plane: known planes come back, orientations agree, and no name hides another."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.spatial import distance, procrustes
from scipy.spatial.distance import pdist, squareform

from stages.geometry.scaling import classical_scaling, clustered, distances, lay_over, stress
from stages.geometry.similarity import METRICS
from stages.plotting import word_map
from stages.plotting.style import sheet


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("metric", [name for name in METRICS if hasattr(distance, name)])
def test_distances_are_those_of_the_vectors(rng: np.random.Generator, metric: str) -> None:
    vectors = rng.normal(size=(7, 5))
    apart = pdist(vectors, metric)
    expected = np.sqrt(2 * apart) if METRICS[metric].bounded else apart  # the chord of two vectors of length 1
    np.testing.assert_allclose(distances(METRICS[metric](vectors), metric), expected, atol=1e-7)


def test_scaling_and_stress_are_those_of_their_formulas(rng: np.random.Generator) -> None:
    condensed = pdist(rng.normal(size=(9, 6)))
    centring = np.eye(9) - 1 / 9
    values, vectors = np.linalg.eigh(-0.5 * centring @ squareform(condensed) ** 2 @ centring)
    expected = vectors[:, [-1, -2]] * np.sqrt(values[[-1, -2]])
    found = classical_scaling(condensed)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)
    scales = np.linspace(0.5, 3, 20001)
    shown = scales[:, None] * pdist(found)
    tried = np.sqrt(np.square(shown - condensed).sum(axis=1) / np.square(shown).sum(axis=1))
    assert stress(found, condensed) == pytest.approx(tried.min(), abs=1e-6)


@pytest.mark.parametrize("noise", [0, 0.2])
def test_turned_and_scaled_maps_are_as_near_as_procrustes_brings_them(rng: np.random.Generator, noise: float) -> None:
    points = rng.normal(size=(20, 2)) * [2, 1]
    turns = np.linalg.qr(rng.normal(size=(8, 2, 2)))[0]
    maps = np.stack([size * (points + noise * rng.normal(size=(20, 2))) @ turn for size, turn in enumerate(turns, 1)])
    maps = (maps - maps.mean(axis=1, keepdims=True)).reshape(2, 4, 20, 2)
    found = lay_over(maps)
    for one, other in combinations(found.reshape(8, 20, 2), 2):
        apart = np.square(one - other).sum() / np.square(one).sum()
        assert apart <= 2 * procrustes(one, other)[2] + 0.1 * noise + 1e-18
    np.testing.assert_array_equal(found, lay_over(maps))


def test_the_clustered_order_brings_groups_together(rng: np.random.Generator) -> None:
    groups = rng.permutation(np.repeat([0, 1, 2], 6))
    points = 10 * np.eye(3)[groups] + rng.normal(size=(18, 3))
    order = clustered(pdist(points))
    assert sorted(order) == list(range(18))
    assert (np.diff(groups[order]) != 0).sum() == 2


def drawn(points: np.ndarray, categories: Sequence[str] = "ab") -> Figure:
    """Draw a map of points of shape (3, words, 2)."""
    words = points.shape[1]
    maps, names = dict(zip("qkv", points, strict=True)), [f"word{n}" for n in range(words)]
    return word_map.word_map(maps, dict.fromkeys("qkv", 0.25), names, [*categories] * (words // len(categories)), 3)


def test_names_do_not_overlap_and_are_all_there(rng: np.random.Generator) -> None:
    figure = drawn(rng.normal(size=(3, 34, 2)))
    figure.draw_without_rendering()
    for axis in figure.axes[:3]:
        assert {text.get_text() for text in axis.texts} >= {f"word{n}" for n in range(34)}
        boxes = [text.get_window_extent() for text in axis.texts]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        marked = np.concatenate([line.get_xydata() for line in axis.lines if line.get_marker() != "None"])
        marks = axis.transData.transform(marked)
        assert len(marks) == len(boxes) == 34
        assert sum(box.contains(*mark) for box in boxes for mark in marks) <= 1


def test_words_on_a_line_are_drawn(rng: np.random.Generator) -> None:
    points = rng.normal(size=(3, 6, 2)) * [1, 0]
    for some in (points, points[..., ::-1]):
        figure = drawn(some)
        assert all(high > low for low, high in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()))
        assert 2 < figure.get_size_inches()[1] < 7


def test_of_many_words_the_extremes_are_named_and_of_very_many_some_are_drawn(rng: np.random.Generator) -> None:
    figure = drawn(rng.normal(size=(3, 1000, 2)))
    assert " ".join(figure.get_suptitle().split()).endswith("(layer 3, 300 of 1,000 words)")
    for axis in figure.axes[:3]:
        assert 4 <= len(axis.texts) <= word_map.EXTREMES
        assert sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() != "None") == 300


@pytest.mark.parametrize(("categories", "letters"), [(3, 8), (17, 12), (20, 24), (60, 40), (120, 24)])
def test_legends_stay_on_the_page(rng: np.random.Generator, categories: int, letters: int) -> None:
    names = [f"{'category number':{letters - 4}} {n:3}" for n in range(categories)]
    figure = drawn(rng.normal(size=(3, 2 * categories, 2)), names)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0
    assert not any(box.overlaps(axis.get_window_extent()) for axis in figure.axes)
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(set(texts)) == len(texts)
    assert len(texts) == categories or texts[-1] == f"and {categories - len(texts) + 1} more"


def test_categories_are_told_apart_by_colour_marker_and_filling() -> None:
    for categories in (3, 17, 35, 70):
        with sheet("dark"):
            looks = word_map.looks_of(categories)
        assert len({tuple(sorted(look.items())) for look in looks}) == categories
        for key in ("color", "marker"):
            assert all(one[key] != other[key] for one, other in pairwise(looks))
