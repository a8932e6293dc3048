"""What the report draws by itself: the numbers of every layer, and charts as Vega-Lite specifications."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from stages.artefacts.files import DECIMALS, rounded
from stages.geometry.names import LABELS, MANY_WORDS, MATRICES, PAIRS, Arrays
from stages.geometry.pairs import choose_words
from stages.geometry.scaling import clustered, distances, word_maps
from stages.geometry.similarity import Metric
from stages.plotting.word_map import EXTREMES

#: A matrix of more words would have cells of two pixels, and 48 layers of it would make the page too large.
MOST_WORDS = 100


def layer_by_layer(
    similarity: Mapping[str, Any], words: Sequence[str], categories: Sequence[str], metric: str, focus: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gather what the layer slider shows, of all words or of `MOST_WORDS`, evenly spaced through the list.

    `similarity` are of "q", "k" and "v", shape (layers, pairs), by a `metric` of `stages.geometry.similarity.METRICS`.
    The mean over the matrices at place `focus` orders the words.

    Of matrices ``words``, ``categories``, ``values`` (by matrix, of each layer a number a pair in the order of
    `scipy.spatial.distance.pdist`: little-endian float32 in base64) and ``limits`` (by matrix, of all layers). Of maps
    ``points`` (by matrix, by layer, x and y of each word, y upwards; a layer's three maps can be laid over each other:
    together they fill a square of side 1 around 0), ``stress`` (by matrix, by layer) and ``clustered`` (places of
    words, alike ones together); and from how many words on (``many``) how many ``extremes`` alone are named.
    """
    chosen = np.linspace(0, len(words) - 1, min(len(words), MOST_WORDS)).round().astype(int).tolist()
    layers = zip(*(similarity[name] for name in MATRICES), strict=True)
    values = np.array([[choose_words(pairs, len(words), chosen) for pairs in layer] for layer in layers])
    points, stress = word_maps(values, metric)
    low, high = points.min(axis=(1, 2), keepdims=True), points.max(axis=(1, 2), keepdims=True)
    extent = (high - low).max(axis=-1, keepdims=True)
    points = (points - (low + high) / 2) / np.where(extent, extent, 1)

    def by_matrix(array: np.ndarray) -> dict[str, list]:
        return {name: array[:, place].tolist() for place, name in enumerate(MATRICES)}

    drawn = dict(zip(MATRICES, rounded(values).swapaxes(0, 1), strict=True))
    matrices = {
        "words": [words[place] for place in chosen],
        "categories": [categories[place] for place in chosen],
        "values": {name: b64encode(rows.astype("<f4").tobytes()).decode("ascii") for name, rows in drawn.items()},
        "limits": {name: [float(rows.min()), float(rows.max())] for name, rows in drawn.items()},
    }
    order = clustered(distances(values[focus].mean(axis=0), metric)).tolist()
    maps = {"points": by_matrix(np.round(points, 3)), "stress": by_matrix(np.round(stress, 2)), "clustered": order}
    return matrices, {**maps, "many": MANY_WORDS, "extremes": EXTREMES}


def matrix_spec(label: str, metric: Metric, data: Mapping[str, Any]) -> dict[str, Any]:
    """Specify one similarity matrix; the page sets its layer's ``values``, colour limits, and the chosen cell.

    It adds the ``cells``, and whether they are ``grouped`` by category. `label` is the matrix's, `metric` says what the
    values are, and `data` is of `layer_by_layer`.
    """
    categories, count = data["categories"], len(data["words"])
    edges = [place for place, (one, other) in enumerate(pairwise(categories), 1) if one != other]
    names = {f"{(start + end) / 2:g}": categories[start] for start, end in pairwise([0, *edges, count])}
    scale = {"domain": [0, count], "nice": False}
    axis = {"values": [float(place) for place in names], "labelExpr": "grouped && names[datum.value] || ''"}
    axis |= {"labelLimit": 90, "labelOverlap": True, "ticks": False, "domain": False, "grid": False, "title": None}
    upright = {"labelAngle": -90, "labelAlign": "center", "labelBaseline": "bottom"}
    square = {
        "x": _number("column", scale=scale, axis=axis),
        "x2": {"field": "column_end"},
        "y": _number("row", scale={**scale, "reverse": True}, axis={**axis, **upright}),
        "y2": {"field": "row_end"},
    }
    dashed = {"type": "rule", "color": "white", "strokeDash": [4, 4], "opacity": {"expr": "grouped ? 1 : 0"}}
    rules = [{"data": {"values": edges}, "mark": dashed, "encoding": {channel: _number("data")}} for channel in "xy"]
    colours = {"scheme": "magma", "clamp": True, "nice": False, "zero": False}
    colours |= {"domainMin": {"expr": "low"}, "domainMax": {"expr": "high"}}
    bar = {"orient": "bottom", "direction": "horizontal", "title": None, "gradientThickness": 10, "tickCount": 3}
    bar |= {"gradientLength": {"signal": "width"}}
    value = {"field": "value", "title": metric.long.lower(), "format": f".{DECIMALS}f"}
    tooltip = [{"field": "words", "title": "words"}, value]
    shown = {**square, "color": _number("value", scale=colours, legend=bar), "tooltip": tooltip}
    cells = {"mark": {"type": "rect", "cursor": "crosshair"}, "encoding": shown}
    chosen = {
        "transform": [{"filter": "datum.row === chosen_row && datum.column === chosen_column"}],
        "mark": {"type": "rect", "filled": False, "stroke": "#00e5ff", "strokeWidth": 2.5},
        "encoding": square,
    }
    signals = {"names": names, "values": [], "low": 0, "high": 1, "chosen_row": -1, "chosen_column": -1}
    return {
        "description": f"Similarity matrix of {label}, {count} by {count} words",
        "params": [{"name": name, "value": value} for name, value in signals.items()],
        "data": {"name": "cells"},
        "transform": [{"calculate": f"datum.pair < 0 ? {metric.own} : values[datum.pair]", "as": "value"}],
        "layer": [cells, *(rules if edges else []), chosen],
    }


def profile_spec(
    title: str, columns: Arrays, layers: Sequence[int], names: Sequence[str], intervals: Mapping[str, Arrays]
) -> dict[str, Any]:
    """Specify lines over layers, whose values at the nearest layer show on pointing.

    `title` is that of the vertical axis, `columns` of shape (layers,), of which `names`, matrices or pairs, are drawn.
    `intervals` have "low" and "high" by column; empty where there are none.
    """
    labels = [LABELS[name] for name in names]
    ends = ("low", "high") if intervals else ()
    rows = [
        {"layer": layer, "name": LABELS[name], "value": value} | {end: intervals[name][end][place] for end in ends}
        for name in names
        for place, (layer, value) in enumerate(zip(layers, rounded(columns[name]), strict=True))
    ]
    axis = {"title": "Transformer layer", "tickMinStep": 1, "format": "d", "grid": False}
    x = _number("layer", scale={"nice": False, "padding": 12}, axis=axis)
    y = _number("value", scale={"zero": False}, axis={"title": title})
    # The same domain and legend, so that colour and shape share one.
    legend = {"orient": "top", "symbolSize": 90, "symbolOpacity": 1}
    named = {"field": "name", "type": "nominal", "title": None, "legend": legend}
    kind = "pairs" if names[0] in PAIRS else "matrices"
    shapes = ["square", "circle", "triangle-up"] if names[0] in PAIRS else ["diamond", "cross", "triangle-down"]
    colour = {**named, "scale": {"domain": labels, "range": kind}}  # the page's style has its colours
    shape = {**named, "scale": {"domain": labels, "range": shapes}}
    line = {"y": y, "color": colour}
    between = {**line, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    point = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    shown = {
        "transform": [{"filter": f"datum.layer === shown_layer && datum.name === '{labels[0]}'"}],
        "mark": {"type": "rule", "strokeDash": [3, 3]},
    }
    nearest = {"type": "point", "fields": ["layer"], "nearest": True, "on": "pointerover", "clear": "pointerout"}
    opacity = {"condition": {"param": "pointed", "empty": False, "value": 0.6}, "value": 0}
    tooltip = [_number("layer", title="layer"), *(_number(label, format=".3f") for label in labels)]
    pointed = {
        "transform": [{"pivot": "name", "value": "value", "groupby": ["layer"]}],
        "params": [{"name": "pointed", "select": nearest}],
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {"opacity": opacity, "tooltip": tooltip},
    }
    layered = [{"mark": {"type": "area", "opacity": 0.15}, "encoding": between}] if intervals else []
    layered += [{"mark": "line", "encoding": line}, {"mark": point, "encoding": {**line, "shape": shape}}]
    return {
        "description": f"{title} of {', '.join(labels)} over {len(layers)} layers; "
        "the same values are in the table below",
        "width": "container",
        "height": 260,
        "autosize": {"type": "fit", "contains": "padding"},
        "params": [{"name": "shown_layer", "value": 0}],
        "data": {"values": rows},
        "encoding": {"x": x},
        "layer": [*layered, shown, pointed],
    }


def _number(field: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", **more}
