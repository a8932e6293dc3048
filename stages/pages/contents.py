"""The numbers that the report holds for its slider: similarities and maps of every layer."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from stages.artefacts.files import rounded
from stages.geometry.names import MATRICES
from stages.geometry.pairs import choose_words
from stages.geometry.scaling import clustered, distances, word_maps

#: A matrix of more words would have cells of two pixels, and 48 layers of it would make the page too large.
MOST_WORDS = 100


def chosen_words(words: int) -> list[int]:
    """Choose the words that the matrices show: all, or evenly spaced ones of a long list.

    Parameters
    ----------
    words : int

    Returns
    -------
    list of int
        Positions, ascending, at most `MOST_WORDS`.
    """
    return sorted({round(place) for place in np.linspace(0, words - 1, min(words, MOST_WORDS)).tolist()})


def matrices(
    read: Callable[[str, int], np.ndarray], layers: int, words: Sequence[str], categories: Sequence[str]
) -> dict[str, Any]:
    """Gather the similarities that the layer slider shows.

    Parameters
    ----------
    read : callable
        Takes "q", "k" or "v" and a layer's place; gives similarities, shape (pairs,).
    layers : int
        How many.
    words, categories : sequence of str, length words

    Returns
    -------
    dict
        ``words``, ``categories``, ``blocks`` (a name, first and last place of each), ``values`` (by matrix, by layer, a
        number a pair in the order of `scipy.spatial.distance.pdist`) and ``limits`` (by matrix, of all layers).
    """
    chosen = chosen_words(len(words))
    values = {
        name: [rounded(choose_words(read(name, place), len(words), chosen)).tolist() for place in range(layers)]
        for name in MATRICES
    }
    shown = [categories[place] for place in chosen]
    blocks, start = [], 0
    for category, run in groupby(shown):
        end = start + len(list(run))
        blocks.append({"category": category, "start": start, "end": end})
        start = end
    limits = {name: [min(map(min, rows)), max(map(max, rows))] for name, rows in values.items()}
    return {
        "words": [words[place] for place in chosen],
        "categories": shown,
        "blocks": blocks,
        "values": values,
        "limits": limits,
    }


def maps(read: Callable[[str, int], np.ndarray], layers: int, words: int, metric: str, focus: int) -> dict[str, Any]:
    """Lay the words out in the plane, in every layer, and in the order in which alike ones stand together.

    Parameters
    ----------
    read, layers
        As of `matrices`, whose words are shown here too.
    words : int
    metric : str
        A key of `stages.geometry.similarity.METRICS`.
    focus : int
        The layer whose mean similarity over the matrices orders the words.

    Returns
    -------
    dict
        ``points`` (by matrix, by layer, x and y of each word, y upwards), ``stress`` (by matrix, by layer) and
        ``clustered`` (places of words).
    """
    chosen = chosen_words(words)
    values = np.array(
        [[choose_words(read(name, layer), words, chosen) for name in MATRICES] for layer in range(layers)]
    )
    points, stress = word_maps(values, metric)
    return {
        "points": {name: np.round(points[:, place], 3).tolist() for place, name in enumerate(MATRICES)},
        "stress": {name: np.round(stress[:, place], 2).tolist() for place, name in enumerate(MATRICES)},
        "clustered": clustered(distances(values[focus].mean(axis=0), metric)).tolist(),
    }
