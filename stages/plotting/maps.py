"""Maps: scores of every head of every layer, and of every layer of one run with every layer of another."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from stages.artefacts.results import Results
from stages.geometry.names import LABELS, MATRICES, PAIRS, Arrays, Scores
from stages.plotting.captions import number
from stages.plotting.controls import has_bias
from stages.plotting.layers import layer_axis, number_layers
from stages.plotting.registry import figure
from stages.plotting.style import explain, line_key, panels, widened


def _largest(scores: np.ndarray) -> tuple[int, int] | None:
    """Return the place of the largest score, if there is one."""
    return np.unravel_index(np.nanargmax(scores), scores.shape) if np.isfinite(scores).any() else None


def _by_name(run: Results) -> dict[str, np.ndarray]:
    """Return the scores of heads, shape (layers, heads), by matrix and pair."""
    return {name: cells["value"] for (_, name), cells in run.heads.items()}


def _caption(run: Results) -> str:
    scores = _by_name(run)

    def of(names: Sequence[str]) -> str:
        return ", ".join(
            f"{LABELS[name]} {number(scores[name][best])} (layer {run.numbers[best[0]]}, head {best[1]})"
            for name in names
            if (best := _largest(scores[name]))
        )

    queries, keys = (len(_different(scores[name])) for name in "qk")
    shared = f" {queries} query heads a layer share {keys} of K and V: the first that shares is named."
    said = f"Largest Cohen's d of a head: {of(MATRICES)}. Largest RSA: {of(PAIRS)}."
    return said + (shared if keys < queries else "")


@figure(
    13,
    "Every attention head",
    values=lambda run: (_by_name(run), {} if has_bias(run.nulls) else run.head_nulls, run.numbers),
    caption=_caption,
    alternative="Maps of layers by heads: Cohen's d of Q, K and V, and RSA of Q–K, Q–V and K–V",
    table="heads",
)
def heads(scores: Arrays, nulls: Scores, layers: Sequence[int]) -> Figure:
    """Draw Figure 13: Cohen's d and RSA of every head, one panel a matrix or pair; a ring around each panel's largest.

    `scores` are of shape (layers, heads), by matrix and pair; NaN is shown as a gap. So are `nulls`, the ranges of what
    a head's own spectrum gives in random orientation, by measure as well: triangles point up at heads that lie above,
    down at those below. They are empty where the model has biases, as they have none.
    """
    figure, axes = panels(3, rows=2, height=6.4)
    text = rcParams["text.color"]
    rows = ((axes[:3], MATRICES, "magma", "Cohen's d"), (axes[3:], PAIRS, "viridis", "RSA score"))
    for row, names, colours, label in rows:
        image = _on_one_scale(row, [scores[name].T for name in names], colours)
        figure.colorbar(image, ax=row, label=label, pad=0.01, aspect=12)
        for axis, name in zip(row, names, strict=True):
            title = [LABELS[name]]
            if best := _largest(scores[name]):
                title[0] += f": {number(scores[name][best])} in L{layers[best[0]]}H{best[1]}"
                _mark(axis, *best)
            if nulls:
                null, different = nulls["rsa" if name in PAIRS else "d", name], _different(scores[name])
                beyond = {"^": scores[name] > null["high"], "v": scores[name] < null["low"]}
                for marker, there in beyond.items():
                    if there.any():
                        _mark(axis, *np.nonzero(there), marker, 0.5)
                title.append("{} above their null, {} below".format(*(b[:, different].sum() for b in beyond.values())))
            axis.set_title("\n".join(title), fontsize=11)
            layer_axis(axis, layers)
            number_layers(axis.yaxis, range(scores[name].shape[1]))
    for axis in axes[::3]:
        axis.set_ylabel("Head")
    queries, keys = (len(layers) * len(_different(scores[name])) for name in "qk")
    counted = f"{queries} heads" if keys == queries else f"{queries} heads of Q, {keys} of K and V"
    highest = [np.nanmax([scores[name] for name in names], initial=-1) for _, names, *_ in rows]
    said = f"{counted}, each by itself: Cohen's d up to {number(highest[0])}, RSA up to {number(highest[1])}"
    keys = [line_key("largest", text, "o", "", mfc="none")]
    if nulls:
        beyond = ("^", "above what its own spectrum gives in random directions"), ("v", "below")
        keys += [line_key(label, text, marker, "", markersize=5) for marker, label in beyond]
    return explain(figure, said, keys)


def _different(scores: np.ndarray) -> np.ndarray:
    """Return the heads that differ from each other: query heads may share one of K and V. Scores are of all of them."""
    return np.unique(np.nan_to_num(scores), axis=1, return_index=True)[1]


def layer_maps(rsa: Arrays, names: tuple[str, str], layers: tuple[Sequence[int], Sequence[int]]) -> Figure:
    """Draw the RSA of every layer of one run, A, with every layer of another, B; a ring around the best of each row.

    `rsa`, by the matrices that are to be shown, is of shape (layers of A, layers of B); then what A and B are called,
    and the numbers of their layers.
    """
    figure, axes = panels(len(rsa), width=1.8 + 4 * len(rsa), height=4.6)
    image = _on_one_scale(axes, [*rsa.values()], "viridis")
    figure.colorbar(image, ax=axes, label="RSA score", pad=0.01)
    for axis, (name, scores) in zip(axes, rsa.items(), strict=True):
        axis.set(title=LABELS[name], xlabel="Layer of B")
        _mark(axis, scores.argmax(axis=1), np.arange(len(scores)))
        for side, numbers in zip((axis.yaxis, axis.xaxis), layers, strict=True):
            number_layers(side, numbers)
    axes[0].set_ylabel("Layer of A")
    figure.suptitle("\n".join(f"{side}: {name}" for side, name in zip("AB", names, strict=True)), fontsize=11)
    return figure


def _on_one_scale(axes: Sequence[Axes], maps: Sequence[np.ndarray], colours: str) -> AxesImage:
    """Draw maps, first row at the bottom, in the same colours: limits are the data's, in tenths; return the last."""
    low, high = widened(maps, None)
    low = np.floor(10 * low) / 10
    high = max(np.ceil(10 * high) / 10, low + 0.1)
    for axis, values in zip(axes, maps, strict=True):
        image = axis.imshow(values, cmap=colours, vmin=low, vmax=high, origin="lower", aspect="auto")
    return image


def _mark(axis: Axes, x: int | np.ndarray, y: int | np.ndarray, marker: str = "o", size: float = 1) -> None:
    """Mark cells by rings, or another marker, that show on any colour."""
    look = {"mfc": "none", "ms": size * np.clip(150 / max(axis.images[0].get_array().shape), 5, 11), "clip_on": False}
    for colour, width in (("black", 2.4), ("white", 1.2)):
        axis.plot(x, y, marker, linestyle="", mec=colour, mew=width, **look)
