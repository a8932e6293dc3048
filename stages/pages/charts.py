"""What the report draws by itself, as Vega-Lite specifications."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import vl_convert

from stages.artefacts.files import DECIMALS, rounded
from stages.geometry.names import LABELS


def library() -> str:
    """Return what draws the charts, Vega-Lite, as one script: in a function, as its short names would be the page's."""
    return f"(() => {{\n{vl_convert.javascript_bundle()}\n}})();\n"


def matrix_spec(label: str, similarity: str, data: Mapping[str, Any], own: float) -> dict[str, Any]:
    """Specify one similarity matrix; the page sets its layer's ``values``, colour limits, and the chosen cell.

    Parameters
    ----------
    label : str
        The matrix's name.
    similarity : str
        What the values are, in words.
    data : mapping
        Of `contents.matrices`.
    own : float
        The similarity of a word with itself.
    """
    edges = [block["start"] for block in data["blocks"][1:]]
    names = {str((block["start"] + block["end"]) / 2): block["category"] for block in data["blocks"]}
    words = len(data["words"])
    scale = {"domain": [0, words], "nice": False}
    axis = {
        "values": [float(place) for place in names],
        "labelExpr": "names[toString(datum.value)] || names[datum.value + '.0'] || ''",
        "labelLimit": 90,
        "labelOverlap": True,
        "ticks": False,
        "domain": False,
        "grid": False,
        "title": None,
    }
    across = {"field": "column", "type": "quantitative", "scale": scale, "axis": axis}
    down = {
        "field": "row",
        "type": "quantitative",
        "scale": {**scale, "reverse": True},
        "axis": {**axis, "labelAngle": -90, "labelAlign": "center", "labelBaseline": "bottom"},
    }
    square = {"x": across, "x2": {"field": "column_end"}, "y": down, "y2": {"field": "row_end"}}
    rules = [
        {
            "data": {"values": [{"edge": edge} for edge in edges]},
            "mark": {"type": "rule", "color": "white", "strokeDash": [4, 4]},
            "encoding": {channel: {"field": "edge", "type": "quantitative"}},
        }
        for channel in ("x", "y")
        if edges
    ]
    return {
        "description": f"Similarity matrix of {label}, {words} by {words} words",
        "params": [
            {"name": "names", "value": names},
            {"name": "values", "value": []},
            {"name": "low", "value": 0},
            {"name": "high", "value": 1},
            {"name": "chosen_row", "value": -1},
            {"name": "chosen_column", "value": -1},
        ],
        "data": {"name": "cells"},
        "transform": [
            {"calculate": f"datum.pair < 0 ? {own} : values[datum.pair]", "as": "value"},
            {"calculate": "datum.row + 1", "as": "row_end"},
            {"calculate": "datum.column + 1", "as": "column_end"},
        ],
        "layer": [
            {
                "mark": {"type": "rect", "cursor": "crosshair"},
                "encoding": {
                    **square,
                    "color": {
                        "field": "value",
                        "type": "quantitative",
                        "scale": {
                            "scheme": "magma",
                            "clamp": True,
                            "nice": False,
                            "zero": False,
                            "domainMin": {"expr": "low"},
                            "domainMax": {"expr": "high"},
                        },
                        "legend": {
                            "orient": "bottom",
                            "direction": "horizontal",
                            "title": None,
                            "gradientThickness": 10,
                            "tickCount": 3,
                            "gradientLength": {"signal": "width"},
                        },
                    },
                    "tooltip": [
                        {"field": "words", "title": "words"},
                        {"field": "value", "title": similarity.lower(), "format": f".{DECIMALS}f"},
                    ],
                },
            },
            *rules,
            {
                "transform": [{"filter": "datum.row === chosen_row && datum.column === chosen_column"}],
                "mark": {"type": "rect", "filled": False, "stroke": "#00e5ff", "strokeWidth": 2.5},
                "encoding": square,
            },
        ],
    }


def profile_spec(
    title: str,
    columns: Mapping[str, np.ndarray],
    layers: Sequence[int],
    names: Sequence[str],
    intervals: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Specify lines over layers, whose values at the nearest layer show on pointing.

    Parameters
    ----------
    title : str
        Of the vertical axis.
    columns : mapping of str to ndarray, shape (layers,)
    layers : sequence of int
        Their numbers.
    names : sequence of str
        The matrices or pairs that are drawn.
    intervals : mapping
        By column, "low" and "high", shape (layers,); empty where there are none.
    """
    labels = [LABELS[name] for name in names]
    drawn = {
        name: {"value": rounded(columns[name])}
        | ({end: intervals[name][end] for end in ("low", "high")} if intervals else {})
        for name in names
    }
    rows = [
        {"layer": layer, "name": LABELS[name]} | {column: values[place] for column, values in cells.items()}
        for name, cells in drawn.items()
        for place, layer in enumerate(layers)
    ]
    x = {
        "field": "layer",
        "type": "quantitative",
        "scale": {"nice": False, "padding": 12},
        "axis": {"title": "Transformer layer", "tickMinStep": 1, "format": "d", "grid": False},
    }
    y = {"field": "value", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": title}}
    # The same domain and legend, so that colour and shape share one.
    named = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "legend": {"orient": "top", "symbolSize": 90, "symbolOpacity": 1},
    }
    colour = {**named, "scale": {"domain": labels}}
    shape = {**named, "scale": {"domain": labels, "range": ["square", "circle", "triangle-up"]}}
    band = {
        "mark": {"type": "area", "opacity": 0.15},
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
    }
    return {
        "description": f"{title} of {', '.join(labels)} over {len(layers)} layers; "
        "the same values are in the table below",
        "width": "container",
        "height": 260,
        "autosize": {"type": "fit", "contains": "padding"},
        "params": [{"name": "shown_layer", "value": 0}],
        "data": {"values": rows},
        "layer": [
            *([band] if intervals else []),
            {"mark": "line", "encoding": {"x": x, "y": y, "color": colour}},
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": colour, "shape": shape},
            },
            {
                "transform": [{"filter": f"datum.layer === shown_layer && datum.name === '{labels[0]}'"}],
                "mark": {"type": "rule", "strokeDash": [3, 3]},
                "encoding": {"x": x},
            },
            {
                "transform": [{"pivot": "name", "value": "value", "groupby": ["layer"]}],
                "params": [
                    {
                        "name": "pointed",
                        "select": {
                            "type": "point",
                            "fields": ["layer"],
                            "nearest": True,
                            "on": "pointerover",
                            "clear": "pointerout",
                        },
                    }
                ],
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": x,
                    "opacity": {"condition": {"param": "pointed", "empty": False, "value": 0.6}, "value": 0},
                    "tooltip": [
                        {"field": "layer", "type": "quantitative", "title": "layer"},
                        *({"field": label, "type": "quantitative", "format": ".3f"} for label in labels),
                    ],
                },
            },
        ],
    }
