"""Figures 16 and 17: what single words and single units carry."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.effects import MUCH
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, WITH_INPUT, Scores
from stages.plotting.captions import MEASURES, counts, number, numbers, values_of
from stages.plotting.layers import by_measure, layer_axis, limit, marker_size, over_layers, profile, zero
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, shortened, widened

#: Letters of a word that are shown, and how many names fit side by side.
LETTERS, SIDE_BY_SIDE = 10, 3


def _of_words(run: Results) -> str:
    said = []
    for measure, (label, names) in MEASURES.items():
        size = {of: np.nan_to_num(np.abs(run.influence[measure, of]["value"][:, 0])) for of in names}
        much = {of: values > MUCH for of, values in size.items()}
        most = max(size, key=lambda of: size[of].max())
        place, cells = size[most].argmax(), run.influence[measure, most]
        change = cells["value"][place, 0]
        said.append(
            f"{label} changes most without {cells['word'][place, 0]} ({LABELS[most]}, layer {run.numbers[place]}: "
            f"{'+' if change > 0 else ''}{number(change)}); by more than {MUCH:g}, of {run.layers} layers: "
            f"{counts(much)}."
        )
    return " ".join(said)


@figure(
    16,
    "What single words carry",
    values=lambda run: (run.influence, run.numbers),
    caption=_of_words,
    alternative="Marks over layers for each pair and matrix: by how much RSA and Cohen's d change without one word",
)
def influence(changes: Scores, layers: Sequence[int]) -> Figure:
    """Draw Figure 16: by how much scores change without the word that changes them most, over layers.

    `changes`, of `metrics/influence.csv`, are "value" and "word" by measure and matrix or pair, shape (layers, ranks).
    """
    figure, grid = by_measure(layers, "Change of RSA", "Change of Cohen's d")
    said = []
    for measure, row in grid.items():
        values = {of: changes[measure, of]["value"][:, 0] for of in row}
        low, high = widened(values.values(), (-MUCH, MUCH))
        room = 0.15 * (high - low)  # for the names
        for of, axis in row.items():
            _words(axis, changes[measure, of]["word"][:, 0], values[of], of)
            axis.set_ylim(low - room, high + room)
        largest = np.nanmax(np.abs([*values.values()]), initial=0)
        said.append(f"{MEASURES[measure][0]} by up to {number(largest)}")
    keys = [
        line_key(f"by more than {MUCH:g} (the largest are named)", marker="o", line=""),
        line_key("by less", marker="o", line="", mfc="none"),
    ]
    return explain(figure, f"Without one word scores change: {', '.join(said)}", keys)


def _words(axis: Axes, words: np.ndarray, changes: np.ndarray, of: str) -> None:
    """Draw a stem for each layer's change, and the words' names where there is much and they find room."""
    mark, layers = MARKS[of], np.arange(len(changes))
    zero([axis])
    for end in (-MUCH, MUCH):
        axis.axhline(end, color="grey", linestyle=":", linewidth=0.8)
    axis.vlines(layers, 0, changes, color=mark.colour, linewidth=1)
    much = np.abs(changes) > MUCH
    for chosen, face in ((much, mark.colour), (~much, rcParams["axes.facecolor"])):
        look = {"color": mark.colour, "mfc": face, "ms": marker_size(len(layers))}
        axis.plot(layers[chosen], changes[chosen], mark.marker, **look)
    for place, aligned in _with_room(changes, much):
        up = changes[place] > 0
        where = {"xytext": (0, 6 if up else -6), "textcoords": "offset points", "va": "bottom" if up else "top"}
        name = shortened([words[place]], LETTERS)[0]
        axis.annotate(name, (place, changes[place]), ha=aligned, fontsize=10, **where)


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


def _of_units(run: Results) -> str:
    share = values_of(run.anisotropy, "unit_share", WITH_INPUT, "all")
    most = int(share[INPUT].argmax())
    unit = run.anisotropy["unit", INPUT, "all"]["value"][most]
    whole, without = (numbers(values_of(run.anisotropy, "rsa", PAIRS, some)) for some in ("all", "without_unit"))
    return (
        f"Mean share of the largest unit: {numbers(share)}; most of x in layer {run.numbers[most]}, "
        f"{number(share[INPUT][most])} (unit {unit:.0f}). Mean RSA with all units {whole}; without the largest of each "
        f"matrix {without}."
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

    `scores` are those of `metrics/anisotropy.csv`, by measure, matrix or pair, and variant.
    """
    figure, axes = panels(2)
    of_input, text = scores["unit_share", INPUT, "all"]["value"], rcParams["text.color"]
    over_layers(axes[0], layers, values_of(scores, "unit_share", MATRICES, "all"))
    axes[0].plot(of_input, color=text, marker="*", markersize=marker_size(len(layers)))
    axes[0].set(title="Largest unit", ylabel="Share of the squared length")
    limit(axes[:1], (0.0, 0.2))
    whole, without = (values_of(scores, "rsa", PAIRS, some) for some in ("all", "without_unit"))
    for pair, values in whole.items():
        profile(axes[1], pair, values)
        axes[1].plot(without[pair], color=MARKS[pair].colour, linestyle="--", linewidth=1)
    layer_axis(axes[1], layers)
    axes[1].set(title="RSA with and without it", ylabel="RSA score")
    limit(axes[1:])
    change = np.nanmax(np.abs([whole[pair] - without[pair] for pair in PAIRS]), initial=0)
    said = f"One unit holds up to {number(of_input.max())} of the input; without the largest RSA moves by up to "
    keys = [
        *mark_keys(MATRICES),
        line_key(f"{LABELS[INPUT]}, the input", text, "*"),
        *mark_keys(PAIRS),
        line_key("without the largest unit", line="--", linewidth=1),
    ]
    return explain(figure, said + number(change), keys)
