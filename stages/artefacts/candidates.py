"""Candidate geometries: what `rdms.candidates` names, as similarities of words that are matched by name.

A geometry is a data frame with words as index and as columns: larger is more alike, its diagonal is not read.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stages.artefacts.files import Tensors, readable
from stages.artefacts.runs import open_run
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


class Missing(Exception):
    """Why this run has no such geometry."""


class Known(NamedTuple):
    """What geometries that need no file are made of."""

    captured: Mapping[str, Any]  # data/capture.json
    run: Tensors  # data/similarity.safetensors
    counts: Path  # of words in a text
    folder: Path  # where the files of `rdms.candidates` are: DVC looks for changes there

    @property
    def words(self) -> list[str]:
        """The words of the run."""
        return self.captured["words"]


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
    words, found = known.words, {}
    for name, what in asked.items():
        key = f"rdms.candidates.{name}"
        try:
            found[name] = KINDS[what](known) if isinstance(what, str) else _given(key, what, known)
        except Missing as reason:
            print(f"{key} is left out: {reason}")
    if not found:
        raise UserError(messages.NONE_LEFT)
    places = [place for place, word in enumerate(words) if all(word in one.index for one in found.values())]
    for name, one in found.items():
        if lacking := [word for word in words if word not in one.index]:
            print(f"rdms.candidates.{name} lacks {len(lacking)} of {len(words)} words: {some_of(lacking, 10)}")
    kinds = within_category([known.captured["categories"][place] for place in places])
    if min(kinds.sum(), (~kinds).sum()) < 3:
        raise UserError(messages.FEW_IN_ALL.format(len(places), len(words), ", ".join(found)))
    chosen = [words[place] for place in places]
    candidates = {name: condense(one.loc[chosen, chosen].to_numpy(float)) for name, one in found.items()}
    for name, values in candidates.items():
        try:
            unit_norm(values)
        except FloatingPointError:
            raise UserError(messages.ALL_ALIKE.format(name, len(values))) from None
    return places, candidates


def _over(words: Sequence[str], values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, words, words)


def _apart(numbers: pd.Series) -> pd.DataFrame:
    """Return negated distances of words on a scale."""
    return _over(numbers.index, -np.abs(np.subtract.outer(numbers.to_numpy(), numbers.to_numpy())))


def _categories(known: Known) -> pd.DataFrame:
    return _over(known.words, category_masks(known.captured["categories"])["same"])


def _frequency(known: Known) -> pd.DataFrame:
    r"""Compare words by :math:`-|\log c_i - \log c_j|`, of their counts in a text."""
    path, words = known.counts, known.words
    with readable(path, "table", "rdms.counts"):
        table = _table(path)
        columns = [column for column in table if column.endswith("count")]
        if "word" not in table or len(columns) != 1:
            raise ValueError(messages.NO_COUNTS.format(shortened(", ".join(table))))
        told = table[table["word"].isin(words)].set_index("word")[columns[0]]
        _check_words(told.index)
        counts = pd.to_numeric(told, errors="coerce").astype(float)
        if not (known_ones := counts.between(0, np.inf, "neither")).all():
            wrong = known_ones.idxmin()
            raise ValueError(messages.NO_COUNT.format(columns[0], wrong, told[wrong]))
    lacking = [word for word in words if word not in counts.index]
    if len(lacking) > MOST_LACKING * len(words):  # all else would be compared by few words, too
        raise Missing(messages.LACKS_WORDS.format(path, len(lacking), len(words), some_of(lacking, 10)))
    return _apart(np.log(counts))


def _spelling(known: Known) -> pd.DataFrame:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    return _over(known.words, cdist(known.words, known.words, scorer=Levenshtein.normalized_similarity, dtype=float))


def _embeddings(known: Known) -> pd.DataFrame:
    if EMBEDDING not in known.run.names:
        raise Missing(messages.NO_EMBEDDINGS)
    return _over(known.words, square(known.run[EMBEDDING][0], 0))


def _by_number(known: Known, things: Sequence[Sequence], what: str) -> pd.DataFrame:
    """Compare words by how many things each has."""
    numbers = pd.Series([*map(len, things)], known.words)
    if numbers.nunique() == 1:
        raise Missing(messages.ALL_THE_SAME.format(what))
    return _apart(numbers)


#: Geometries that need no file, by what `rdms.candidates` calls them.
KINDS: dict[str, Callable[[Known], pd.DataFrame]] = {
    "categories": _categories,
    "frequency": _frequency,
    "spelling": _spelling,
    "length": lambda known: _by_number(known, known.words, "letters"),
    "tokens": lambda known: _by_number(known, known.captured["token_ids"], "tokens"),
    "embeddings": _embeddings,
}


def _given(key: str, what: Any, known: Known) -> pd.DataFrame:
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
        if not (kept := np.isin(words, known.words)).any():
            raise ValueError(messages.NONE_OF_THE_WORDS.format(some_of([*map(repr, words)], 3)))
        found = _over(words, values).loc[kept, kept]
        _check(found)
        own = np.diagonal(found)
        if what.holds == "auto" and not holds and (np.isnan(own).any() or np.ptp(own)):
            raise ValueError(messages.HOLDS_WHAT)
        holds = what.holds if what.holds != "auto" else holds or ("similarities" if own[0] else "distances")
    return -found if holds == "distances" else found


def _of_run(key: str, what: Any) -> pd.DataFrame:
    with open_run(what.run) as run:
        if what.matrix not in run.similarity.names:
            known = ", ".join(sorted(run.similarity.names))
            raise UserError(messages.NO_MATRIX.format(key, what.run, what.matrix, known))
        layers = [0] if what.matrix == EMBEDDING else run.layers
        check_layer(f"{key}.layer", what.layer, layers, what.run)
        values = run.similarity[what.matrix][layers.index(what.layer)]
        return _over(run.record["words"], square(values, METRICS[run.record["metric"]].own))


def _check(found: pd.DataFrame) -> None:
    """Raise a ValueError unless words differ and every pair has one finite number."""
    _check_words(found.index)
    values = found.to_numpy()
    gaps = ~(np.abs(values) < LARGEST) & ~np.eye(len(values), dtype=bool)
    unequal = ~np.isclose(values, values.T, equal_nan=True)
    for wrong, said in ((gaps, messages.NO_NUMBER), (unequal, messages.TWO_NUMBERS)):
        if wrong.any():
            raise ValueError(said.format(*found.index[np.argwhere(wrong)[0]]))


def _check_words(words: pd.Index) -> None:
    if words.has_duplicates:
        raise ValueError(messages.WORD_TWICE.format(min(words[words.duplicated()])))


def _read_csv(path: Path) -> tuple[Sequence[str], np.ndarray, str]:
    """Read a square table, words above and at the left; or a long one: two columns of words, and one of numbers."""
    table = _table(path)
    if table.shape[1] < 3:
        raise ValueError(messages.NO_COMMAS.format(shortened(",".join(table))))
    (_, *above), left = table, table.iloc[:, 0]
    numbers = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce").astype(float)
    if len(above) > 2 or set(above) == set(left):
        if set(above) != set(left):
            raise ValueError(messages.NO_LAYOUT)
        _check_words(pd.Index(left))
        return [*left], numbers.loc[:, left].to_numpy(), ""
    one, other, name = table
    rows = pd.DataFrame({"a": table[one], "b": table[other], "number": numbers[name]})
    both = pd.concat([rows, rows.rename(columns={"a": "b", "b": "a"})]).drop_duplicates()
    if (twice := both[both.duplicated(["a", "b"])]).size:
        raise ValueError(messages.TWO_NUMBERS.format(twice["a"].iloc[0], twice["b"].iloc[0]))
    wide = both.pivot(index="a", columns="b", values="number")
    return [*wide.index], wide.to_numpy(), {"sim": "similarities", "dis": "distances"}.get(name[:3].lower(), "")


def _table(path: Path) -> pd.DataFrame:
    """Read a CSV file as text, all rows as long as the first."""
    (_, header), *rows = read_rows(path) or [(1, [])]
    for line, row in rows:
        if len(row) != len(header):
            raise ValueError(messages.UNEVEN_ROW.format(line, len(row), len(header)))
    return pd.DataFrame([row for _, row in rows], columns=header, dtype=object)


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
