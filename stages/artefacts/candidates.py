"""Candidate geometries: what `rdms.candidates` names, as similarities of words that are matched by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.artefacts.files import readable
from stages.artefacts.runs import open_run
from stages.artefacts.tensors import Tensors
from stages.geometry.comparison import unit_norm
from stages.geometry.names import EMBEDDING
from stages.geometry.pairs import category_masks, condense, square, within_category
from stages.geometry.similarity import METRICS
from stages.pipeline import messages
from stages.pipeline.errors import UserError, shortened, some_of
from stages.pipeline.mistakes import beside
from stages.pipeline.settings import check_layer
from stages.pipeline.word_lists import read_rows

#: Share of the words whose counts may be unknown.
MOST_LACKING = 0.1
#: Numbers beyond stand for a missing one, as infinity does; their squares are out of range.
LARGEST = 1e100
#: What text descriptors of patterns are called in RDM files of rsatoolbox, by this project and by others.
DESCRIPTORS = ("word", "words", "label", "labels", "name", "conds", "conditions")


@dataclass(frozen=True)
class Geometry:
    """Similarities of words, larger being more alike: shape (words, words), the diagonal is not read."""

    words: Sequence[str]
    similarity: np.ndarray


class Missing(Exception):
    """Why this run has no such geometry."""


@dataclass(frozen=True)
class Known:
    """What geometries that need no file are made of."""

    captured: Mapping[str, Any]  # data/capture.json
    run: Tensors  # data/similarity.safetensors
    counts: Path  # of words in a text
    folder: Path  # where the files of `rdms.candidates` are: DVC looks for changes there


def read_candidates(asked: Mapping[str, Any], known: Known) -> tuple[list[int], dict[str, np.ndarray]]:
    """Read all candidates, and print what is left out.

    Returns
    -------
    places : list of int
        Which of the run's words all candidates have: tests and regression need the same in all of them.
    candidates : dict of str to ndarray, shape (pairs,)
        Their similarities of these words. A `UserError` if a file or run is not what it should be, two candidates are
        the same, or one does not tell words apart.
    """
    words, found = known.captured["words"], {}
    for name, what in asked.items():
        try:
            given = isinstance(what, str)
            found[name] = KINDS[what](known) if given else _given(f"rdms.candidates.{name}", what, known)
        except Missing as reason:
            print(f"rdms.candidates.{name} is left out: {reason}")
    if not found:
        raise UserError(messages.NONE_LEFT)
    places = [place for place, word in enumerate(words) if all(word in one.words for one in found.values())]
    for name, one in found.items():
        if lacking := [word for word in words if word not in one.words]:
            print(f"rdms.candidates.{name} lacks {len(lacking)} of {len(words)} words: {some_of(lacking, 10)}")
    kinds = within_category([known.captured["categories"][place] for place in places])
    if min(kinds.sum(), (~kinds).sum()) < 3:
        raise UserError(messages.FEW_IN_ALL.format(len(places), len(words), ", ".join(found)))
    return places, {name: _chosen(name, one, [words[place] for place in places]) for name, one in found.items()}


def _chosen(name: str, one: Geometry, words: Sequence[str]) -> np.ndarray:
    """Return the similarities of these words' pairs, in the run's order."""
    at = [one.words.index(word) for word in words]
    values = condense(one.similarity[np.ix_(at, at)].astype(np.float64))
    try:
        unit_norm(values)
    except FloatingPointError:
        raise UserError(messages.ALL_ALIKE.format(name, len(values))) from None
    return values


def _apart(values: np.ndarray) -> np.ndarray:
    """Return negated distances of words on a scale, shape (words,) to (words, words)."""
    return -np.abs(values[:, None] - values[None, :])


def _categories(known: Known) -> Geometry:
    same = category_masks(known.captured["categories"])["same"]
    return Geometry(known.captured["words"], same.astype(float))


def _frequency(known: Known) -> Geometry:
    r"""Compare words by :math:`-|\log c_i - \log c_j|`, of their counts in a text."""
    path = known.counts
    words = known.captured["words"]
    with readable(path, "table", "rdms.counts"):
        header, *rows = _table(path)
        columns = [column for column in header if column.endswith("count")]
        if "word" not in header or len(columns) != 1:
            raise ValueError(messages.NO_COUNTS.format(shortened(", ".join(header))))
        at, counted = header.index("word"), header.index(columns[0])
        rows = [row for row in rows if row[at] in words]
        _check_words([row[at] for row in rows])
        for row, count in zip(rows, counts := _numbers_of([row[counted] for row in rows]), strict=True):
            if not 0 < count < np.inf:
                raise ValueError(messages.NO_COUNT.format(columns[0], row[at], row[counted]))
    own = {row[at]: count for row, count in zip(rows, counts, strict=True)}
    lacking = [word for word in words if word not in own]
    if len(lacking) > MOST_LACKING * len(words):  # all else would be compared by few words, too
        raise Missing(messages.LACKS_WORDS.format(path, len(lacking), len(words), some_of(lacking, 10)))
    return Geometry([*own], _apart(np.log([*own.values()])))


def _spelling(known: Known) -> Geometry:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    words = known.captured["words"]
    return Geometry(words, cdist(words, words, scorer=Levenshtein.normalized_similarity, dtype=np.float64))


def _embeddings(known: Known) -> Geometry:
    if EMBEDDING not in known.run.names:
        raise Missing(messages.NO_EMBEDDINGS)
    return Geometry(known.captured["words"], square(known.run[EMBEDDING][0], 0))


def _numbers(of_word: Callable[[Known, int], int], what: str) -> Callable[[Known], Geometry]:
    """Return a reader that compares words by a number of each."""

    def read(known: Known) -> Geometry:
        numbers = np.array([of_word(known, place) for place in range(len(known.captured["words"]))])
        if not np.ptp(numbers):
            raise Missing(messages.ALL_THE_SAME.format(what))
        return Geometry(known.captured["words"], _apart(numbers.astype(float)))

    return read


#: Geometries that need no file, by what `rdms.candidates` calls them.
KINDS: dict[str, Callable[[Known], Geometry]] = {
    "categories": _categories,
    "frequency": _frequency,
    "spelling": _spelling,
    "length": _numbers(lambda known, place: len(known.captured["words"][place]), "letters"),
    "tokens": _numbers(lambda known, place: len(known.captured["token_ids"][place]), "tokens"),
    "embeddings": _embeddings,
}


def _given(key: str, what: Any, known: Known) -> Geometry:
    """Read a layer of a run, or a file."""
    if hasattr(what, "run"):
        return _of_run(key, what)
    folder, path = known.folder, known.folder / what.file
    if path.parent != folder or not path.is_file():
        raise UserError(messages.NO_GEOMETRY_FILE.format(key, what.file, folder, beside("")))
    read = FORMATS.get(path.suffix.lower())
    if not read:
        raise UserError(messages.NO_FORMAT.format(key, what.file, ", ".join(FORMATS)))
    with readable(path, "RDM", key):
        words, values, holds = read(path)
        if values.shape != (len(words), len(words)):
            raise ValueError(messages.OTHER_NUMBER.format(len(words), values.shape))
        if not (kept := [place for place, word in enumerate(words) if word in known.captured["words"]]):
            raise ValueError(messages.NONE_OF_THE_WORDS.format(some_of([*map(repr, words)], 3)))
        words, values = [words[place] for place in kept], values[np.ix_(kept, kept)]
        _check(words, values)
        own = np.diagonal(values)
        if what.holds == "auto" and not holds and (np.isnan(own).any() or np.ptp(own)):
            raise ValueError(messages.HOLDS_WHAT)
        holds = what.holds if what.holds != "auto" else holds or ("similarities" if own[0] else "distances")
    return Geometry(words, -values if holds == "distances" else values)


def _of_run(key: str, what: Any) -> Geometry:
    with open_run(what.run) as run:
        if what.matrix not in run.similarity.names:
            known = ", ".join(sorted(run.similarity.names))
            raise UserError(messages.NO_MATRIX.format(key, what.run, what.matrix, known))
        check_layer(f"{key}.layer", what.layer, [0] if what.matrix == EMBEDDING else run.layers, what.run)
        place = 0 if what.matrix == EMBEDDING else run.layers.index(what.layer)
        values = run.similarity[what.matrix][place]
        return Geometry(run.record["words"], square(values, METRICS[run.record["metric"]].own))


def _check(words: Sequence[str], values: np.ndarray) -> None:
    """Raise a ValueError unless words differ and every pair has one finite number."""
    _check_words(words)
    gaps = ~(np.abs(values) < LARGEST) & ~np.eye(len(words), dtype=bool)
    unequal = ~np.isclose(values, values.T, equal_nan=True)
    for wrong, said in ((gaps, messages.NO_NUMBER), (unequal, messages.TWO_NUMBERS)):
        if wrong.any():
            a, b = (words[place] for place in np.argwhere(wrong)[0])
            raise ValueError(said.format(a, b))


def _check_words(words: Sequence[str]) -> None:
    if twice := sorted({word for word in words if words.count(word) > 1}):
        raise ValueError(messages.WORD_TWICE.format(twice[0]))


def _read_csv(path: Path) -> tuple[list[str], np.ndarray, str]:
    """Read a square table, words above and at the left; or a long one: two columns of words, and one of numbers."""
    header, *rows = _table(path)
    if len(header) < 3:
        raise ValueError(messages.NO_COMMAS.format(shortened(",".join(header))))
    above, left, name = header[1:], [row[0] for row in rows], header[2].lower()
    if len(header) > 3 or set(above) == set(left):
        if set(above) != set(left):
            raise ValueError(messages.NO_LAYOUT)
        _check_words(left)
        at = {word: place for place, word in enumerate(above, 1)}
        numbers = _numbers_of([row[at[word]] for row in rows for word in left])
        return left, numbers.reshape(len(left), -1), ""
    words = list(dict.fromkeys(word for row in rows for word in row[:2]))
    at = {word: place for place, word in enumerate(words)}
    values = np.full((len(words), len(words)), np.nan)
    for (one, other, _), number in zip(rows, _numbers_of([row[2] for row in rows]), strict=True):
        known = values[at[one], at[other]]
        if np.isfinite(known) and known != number:
            raise ValueError(messages.TWO_NUMBERS.format(one, other))
        values[at[one], at[other]] = values[at[other], at[one]] = number
    return words, values, {"sim": "similarities", "dis": "distances"}.get(name[:3], "")


def _table(path: Path) -> list[list[str]]:
    """Read the rows of a CSV file, all as long as the first."""
    header, *rows = read_rows(path) or [(1, [])]
    for line, row in rows:
        if len(row) != len(header[1]):
            raise ValueError(messages.UNEVEN_ROW.format(line, len(row), len(header[1])))
    return [header[1], *(row for _, row in rows)]


def _numbers_of(cells: Sequence[str]) -> np.ndarray:
    """Return the numbers in cells, NaN where there is none."""
    from pandas import Series, to_numeric

    return to_numeric(Series(cells, dtype=object), errors="coerce").to_numpy(float)


def _read_npz(path: Path) -> tuple[list[str], np.ndarray, str]:
    """Read NumPy arrays: `words`, and `distances` or `similarities`, square or of pairs."""
    with np.load(path, allow_pickle=False) as file:
        kinds = [name for name in ("distances", "similarities") if name in file]
        if "words" not in file or len(kinds) != 1:
            raise ValueError(messages.NO_ARRAYS.format(", ".join(file)))
        values = file[kinds[0]]
        if not np.can_cast(values.dtype, float, "same_kind"):
            raise ValueError(messages.NO_REAL_NUMBERS.format(kinds[0], values.dtype))
        values = square(values.astype(float), 0) if values.ndim == 1 else values.astype(float)
        return file["words"].astype(str).ravel().tolist(), values, kinds[0]


def _read_h5(path: Path) -> tuple[list[str], np.ndarray, str]:
    """Read a single RDM as rsatoolbox saves it."""
    import h5py

    with h5py.File(path) as file:
        rows, group = file["dissimilarities"][:], file["pattern_descriptors"]
        texts = {**group, **group.attrs}
        key = next((name for name in DESCRIPTORS if name in texts), None)
        if len(rows) != 1 or key is None:
            raise ValueError(
                messages.SEVERAL_RDMS.format(len(rows)) if key else messages.NO_DESCRIPTOR.format(DESCRIPTORS[0])
            )
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in texts[key][:]]
        return words, square(rows[0], 0), "distances"


#: Takes a path, returns words, a square array, and what it holds, where the format says it.
FORMATS: dict[str, Callable[[Path], tuple[list[str], np.ndarray, str]]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
}
