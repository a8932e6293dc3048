"""The numbers that the report holds for its slider: similarities and maps of every layer."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from stages.artefacts.files import rounded
from stages.geometry.names import MATRICES
from stages.geometry.pairs import choose_words
from stages.geometry.scaling import clustered, distances, word_maps

#: A matrix of more words would have cells of two pixels, and 48 layers of it would make the page too large.
MOST_WORDS = 100


def layer_by_layer(
    similarity: Mapping[str, Any], words: Sequence[str], categories: Sequence[str], metric: str, focus: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gather what the layer slider shows, of all words or of `MOST_WORDS`, evenly spaced through the list.

    `similarity` are of "q", "k" and "v", shape (layers, pairs), by a `metric` of `stages.geometry.similarity.METRICS`.
    The mean over the matrices at place `focus` orders the words.

    Of matrices ``words``, ``categories``, ``blocks`` (a name, first and last place of each), ``values`` (by matrix, of
    each layer a number a pair in the order of `scipy.spatial.distance.pdist`: little-endian float32 in base64) and
    ``limits`` (by matrix, of all layers). Of maps ``points`` (by matrix, by layer, x and y of each word, y upwards),
    ``stress`` (by matrix, by layer) and ``clustered`` (places of words, alike ones together).
    """
    chosen = sorted({round(place) for place in np.linspace(0, len(words) - 1, min(len(words), MOST_WORDS)).tolist()})
    layers = zip(*(similarity[name] for name in MATRICES), strict=True)
    values = np.array([[choose_words(pairs, len(words), chosen) for pairs in layer] for layer in layers])
    points, stress = word_maps(values, metric)

    def by_matrix(array: np.ndarray) -> dict[str, list]:
        return {name: array[:, place].tolist() for place, name in enumerate(MATRICES)}

    shown, blocks = [categories[place] for place in chosen], []
    for category, run in groupby(shown):
        start = blocks[-1]["end"] if blocks else 0
        blocks.append({"category": category, "start": start, "end": start + len([*run])})
    drawn = dict(zip(MATRICES, rounded(values).swapaxes(0, 1), strict=True))
    matrices = {
        "words": [words[place] for place in chosen],
        "categories": shown,
        "blocks": blocks,
        "values": {name: b64encode(rows.astype("<f4").tobytes()).decode("ascii") for name, rows in drawn.items()},
        "limits": {name: [float(rows.min()), float(rows.max())] for name, rows in drawn.items()},
    }
    order = clustered(distances(values[focus].mean(axis=0), metric)).tolist()
    maps = {"points": by_matrix(np.round(points, 3)), "stress": by_matrix(np.round(stress, 2)), "clustered": order}
    return matrices, maps
