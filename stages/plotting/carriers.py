"""Figures 16 and 17: what single words and single units carry."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.geometry.influence import MUCH
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, WITH_INPUT, Scores
from stages.plotting.captions import counts, numbers
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, layer_axis, marker_size, panels, profile, shortened, show_limits, widened

if TYPE_CHECKING:
    from stages.artefacts.results import Results

#: Letters of a word that are shown, and how many names fit side by side.
LETTERS, SIDE_BY_SIDE = 10, 4
SCORED = {"rsa": PAIRS, "d": MATRICES}


def _of_words(run: "Results") -> str:
    """Return the caption: how much scores depend on one word, and where most."""
    said = []
    for measure, label in (("rsa", "RSA"), ("d", "Cohen's d")):
        much = {of: np.abs(run.influence[measure, of]["value"][:, 0]) > MUCH for of in SCORED[measure]}
        size = {of: np.nan_to_num(np.abs(run.influence[measure, of]["value"][:, 0])) for of in SCORED[measure]}
        most = max(size, key=lambda of: size[of].max())
        place, cells = size[most].argmax(), run.influence[measure, most]
        said.append(
            f"{label} changes most without {cells['word'][place, 0]} ({LABELS[most]}, layer {run.numbers[place]}: "
            f"{_signed(cells['value'][place, 0])}); by more than {MUCH:g}, of {run.layers} layers: {counts(much)}."
        )
    return " ".join(said)


@figure(
    16,
    "What single words carry",
    values=lambda run: (run.influence, run.numbers),
    caption=_of_words,
    alternative="Marks over layers for each pair and matrix: by how much RSA and Cohen's d change without one word",
)
def influence(changes: Mapping[tuple[str, str], Mapping[str, np.ndarray]], layers: Sequence[int]) -> Figure:
    """Draw Figure 16: by how much scores change without the word that changes them most, over layers.

    Parameters
    ----------
    changes : mapping of (measure, matrix or pair) to mapping
        Of the table `metrics/influence.csv`: "value" and "word", of shape (layers, ranks).
    layers : sequence of int
        Their numbers.
    """
    figure, axes = panels(3, rows=2, width=13, height=7)
    for row, (measure, label) in enumerate((("rsa", "Change of RSA"), ("d", "Change of Cohen's d"))):
        some = {of: changes[measure, of] for of in SCORED[measure]}
        low, high = widened([cells["value"][:, 0] for cells in some.values()], (-MUCH, MUCH))
        room = 0.15 * (high - low)  # for the names
        for axis, (of, cells) in zip(axes[3 * row :], some.items(), strict=False):
            _words(axis, cells["word"][:, 0], cells["value"][:, 0], of)
            layer_axis(axis, layers)
            axis.set(title=LABELS[of], ylim=(low - room, high + room))
        axes[3 * row].set_ylabel(label)
    keys = [
        Line2D([], [], color="grey", marker="o", linestyle="", label=f"by more than {MUCH:g} (the largest are named)"),
        Line2D([], [], color="grey", marker="o", mfc="none", linestyle="", label="by less"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, fontsize=10)
    figure.suptitle("Scores without the one word that changes them most")
    return figure


def _words(axis: Axes, words: np.ndarray, changes: np.ndarray, of: str) -> None:
    """Draw a stem for each layer's change, and the words' names where there is much and they find room."""
    mark, layers = MARKS[of], np.arange(len(changes))
    axis.axhline(0, color="grey", linewidth=0.8)
    for end in (-MUCH, MUCH):
        axis.axhline(end, color="grey", linestyle=":", linewidth=0.8)
    axis.vlines(layers, 0, changes, color=mark.colour, linewidth=1)
    much = np.abs(changes) > MUCH
    for chosen, face in ((much, mark.colour), (~much, rcParams["axes.facecolor"])):
        axis.plot(
            layers[chosen], changes[chosen], mark.marker, color=mark.colour, mfc=face, ms=marker_size(len(layers))
        )
    for place, aligned in _with_room(changes, much):
        up = changes[place] > 0
        axis.annotate(
            shortened([words[place]], LETTERS)[0],
            (place, changes[place]),
            xytext=(0, 6 if up else -6),
            textcoords="offset points",
            ha=aligned,
            va="bottom" if up else "top",
            fontsize=10,
        )


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _with_room(changes: np.ndarray, much: np.ndarray) -> Iterator[tuple[int, str]]:
    """Yield the places of the largest changes whose names run into no other name or mark, and how they are aligned."""
    wide, taken = len(changes) / SIDE_BY_SIDE, []
    for place in sorted(np.flatnonzero(much).tolist(), key=lambda place: -abs(changes[place])):
        left, right = place < wide / 2, place > len(changes) - 1 - wide / 2
        aligned, start = ("left", place) if left else ("right", place - wide) if right else ("center", place - wide / 2)
        side = np.nan_to_num(changes) * np.sign(changes[place])  # names stand above marks, or below
        beside = side[max(0, int(np.ceil(start))) : int(start + wide) + 1]
        alone = all(abs(start - other) >= wide or up != (changes[place] > 0) for other, up in taken)
        if alone and side[place] == beside.max():
            taken.append((start, changes[place] > 0))
            yield place, aligned


def _of_units(run: "Results") -> str:
    """Return the caption: the largest units' shares, and RSA with and without them, in means over layers."""
    share = {name: run.anisotropy["unit_share", name, "all"]["value"].mean() for name in WITH_INPUT}
    x, unit = (run.anisotropy[measure, INPUT, "all"]["value"] for measure in ("unit_share", "unit"))
    rsa = {
        variant: numbers({pair: np.nanmean(run.anisotropy["rsa", pair, variant]["value"]) for pair in PAIRS})
        for variant in ("all", "without_unit")
    }
    most = int(x.argmax())
    return (
        f"Mean share of the largest unit: {numbers(share)}; most of x in layer {run.numbers[most]}, "
        f"{number(x[most])} (unit {unit[most]:.0f}). Mean RSA with all units {rsa['all']}; without the largest of "
        f"each matrix {rsa['without_unit']}."
    )


@figure(
    17,
    "What single units carry",
    values=lambda run: (run.anisotropy, run.numbers),
    caption=_of_units,
    alternative="Lines over layers: the largest unit's share of Q, K, V and x; RSA with and without that unit",
)
def anisotropy(scores: Scores, layers: Sequence[int]) -> Figure:
    """Draw Figure 17: the largest unit's share of the vectors, and RSA with and without it, over layers.

    Parameters
    ----------
    scores : Scores
        By measure, matrix or pair, and variant: "value", of the table `metrics/anisotropy.csv`.
    layers : sequence of int
        Their numbers.
    """
    figure, axes = panels(2, width=12)
    shares = {name: scores["unit_share", name, "all"]["value"] for name in WITH_INPUT}
    for name in MATRICES:
        profile(axes[0], name, shares[name])
    size, text = marker_size(len(layers)), rcParams["text.color"]
    axes[0].plot(shares[INPUT], color=text, marker="D", markersize=size, label=f"{LABELS[INPUT]}, the input")
    axes[0].set(title="Largest unit", ylabel="Share of the squared length")
    axes[0].set_ylim(show_limits(widened([*shares.values()], (0.0, 0.2))))
    values = {variant: [scores["rsa", pair, variant]["value"] for pair in PAIRS] for variant in ("all", "without_unit")}
    for pair, whole, without in zip(PAIRS, *values.values(), strict=True):
        profile(axes[1], pair, whole)
        axes[1].plot(without, color=MARKS[pair].colour, linestyle="--", linewidth=1)
    axes[1].set(title="RSA with and without it", ylabel="RSA score")
    axes[1].set_ylim(show_limits(widened([*values["all"], *values["without_unit"]])))
    for axis in axes:
        layer_axis(axis, layers)
        handles, _ = axis.get_legend_handles_labels()
        if axis is axes[1]:
            handles.append(Line2D([], [], color="grey", linestyle="--", linewidth=1, label="without the largest unit"))
        axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=4, fontsize=10)
    return figure
