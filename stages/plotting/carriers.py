"""Figures 16 and 17: what single words and single units carry."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.effects import MUCH
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, WITH_INPUT, Scores
from stages.plotting.captions import counts, numbers
from stages.plotting.layers import layer_axis, limit, marker_size, over_layers, profile, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, shortened, widened

#: Letters of a word that are shown, and how many names fit side by side.
LETTERS, SIDE_BY_SIDE = 10, 3
SCORED = {"rsa": PAIRS, "d": MATRICES}


def _of_words(run: Results) -> str:
    """Return the caption: how much scores depend on one word, and where most."""
    said = []
    for measure, label in (("rsa", "RSA"), ("d", "Cohen's d")):
        size = {of: np.nan_to_num(np.abs(run.influence[measure, of]["value"][:, 0])) for of in SCORED[measure]}
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
def influence(changes: Mapping[tuple[str, str], Mapping[str, np.ndarray]], layers: Sequence[int]) -> Figure:
    """Draw Figure 16: by how much scores change without the word that changes them most, over layers.

    `changes`, of `metrics/influence.csv`, are "value" and "word" by measure and matrix or pair, shape (layers, ranks).
    """
    rows = (("Change of RSA", PAIRS), ("Change of Cohen's d", MATRICES))
    figure, grid = over_layers(rows, layers, height=6)
    said = []
    for row, measure in zip(grid, SCORED, strict=True):
        low, high = widened([changes[measure, of]["value"][:, 0] for of in row], (-MUCH, MUCH))
        room = 0.15 * (high - low)  # for the names
        for of, axis in row.items():
            _words(axis, changes[measure, of]["word"][:, 0], changes[measure, of]["value"][:, 0], of)
            axis.set_ylim(low - room, high + room)
        largest = max(np.nanmax(np.abs(changes[measure, of]["value"][:, 0]), initial=0) for of in row)
        said.append(f"{rows[len(said)][0].removeprefix('Change of ')} by up to {number(largest)}")
    keys = [
        line_key(f"by more than {MUCH:g} (the largest are named)", marker="o", line=""),
        line_key("by less", marker="o", line="", mfc="none"),
    ]
    explain(figure, f"Without one word scores change: {', '.join(said)}", keys)
    return figure


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

    `scores` are those of `metrics/anisotropy.csv`, by measure, matrix or pair, and variant.
    """
    figure, axes = panels(2)
    shares = {name: scores["unit_share", name, "all"]["value"] for name in WITH_INPUT}
    for name in MATRICES:
        profile(axes[0], name, shares[name])
    size, text = marker_size(len(layers)), rcParams["text.color"]
    axes[0].plot(shares[INPUT], color=text, marker="*", markersize=size)
    axes[0].set(title="Largest unit", ylabel="Share of the squared length")
    limit(axes[:1], shares.values(), (0.0, 0.2))
    values = {variant: [scores["rsa", pair, variant]["value"] for pair in PAIRS] for variant in ("all", "without_unit")}
    for pair, whole, without in zip(PAIRS, *values.values(), strict=True):
        profile(axes[1], pair, whole)
        axes[1].plot(without, color=MARKS[pair].colour, linestyle="--", linewidth=1)
    axes[1].set(title="RSA with and without it", ylabel="RSA score")
    limit(axes[1:], [*values["all"], *values["without_unit"]])
    for axis in axes:
        layer_axis(axis, layers)
    change = np.nanmax(np.abs(np.subtract(*values.values())), initial=0)
    said = f"One unit holds up to {number(shares[INPUT].max())} of the input; without the largest RSA moves by up to "
    keys = [
        *mark_keys(MATRICES),
        line_key(f"{LABELS[INPUT]}, the input", text, "*"),
        *mark_keys(PAIRS),
        line_key("without the largest unit", line="--", linewidth=1),
    ]
    explain(figure, said + number(change), keys)
    return figure
