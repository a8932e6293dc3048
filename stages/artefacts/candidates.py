"""Candidate geometries: what `rdms.candidates` names, as similarities of words that are matched by name.

A geometry is a data frame of similarities, larger being more alike, with its words as index and as columns; its
diagonal is not read.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stages.artefacts.files import readable
from stages.artefacts.runs import open_run
from stages.artefacts.tensors import Tensors
from stages.geometry.names import EMBEDDING
from stages.geometry.pairs import condense, square, within_category
from stages.geometry.similarity import METRICS
from stages.pipeline.errors import UserError, some_of
from stages.pipeline.settings import check_layer

#: Share of the words whose counts may be unknown.
MOST_LACKING = 0.1
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

    def over_words(self, values: np.ndarray) -> pd.DataFrame:
        """Return similarities of this run's words, shape (words, words), as a geometry."""
        return pd.DataFrame(values, self.captured["words"], self.captured["words"])


def read_candidates(asked: Mapping[str, Any], known: Known) -> tuple[list[int], dict[str, np.ndarray]]:
    """Read all candidates, and print what is left out.

    Returns which of the run's words all of them have, as tests and regression need the same in all, and their
    similarities of these words, shape (pairs,). A `UserError` if a file or run is not what it should be, or a candidate
    does not tell words apart.
    """
    words, found = known.captured["words"], {}
    for name, what in asked.items():
        try:
            given = f"rdms.candidates.{name}", what, known.folder
            found[name] = KINDS[what](known) if isinstance(what, str) else _given(*given)
        except Missing as reason:
            print(f"rdms.candidates.{name} is left out: {reason}")
    places = [place for place, word in enumerate(words) if all(word in one.index for one in found.values())]
    for name, one in found.items():
        if lacking := [word for word in words if word not in one.index]:
            print(f"rdms.candidates.{name} lacks {len(lacking)} of {len(words)} words: {some_of(lacking, 10)}")
    kinds = within_category([known.captured["categories"][place] for place in places])
    if found and min(kinds.sum(), (~kinds).sum()) < 3:
        raise UserError(
            f"rdms.candidates: {len(places)} of {len(words)} words are in all of {', '.join(found)}: too few to compare"
        )
    chosen = [words[place] for place in places]
    candidates = {name: condense(one.loc[chosen, chosen].to_numpy(float)) for name, one in found.items()}
    for name, values in candidates.items():
        if not np.ptp(values):
            raise UserError(f"rdms.candidates.{name}: all {len(values)} pairs of words are alike: nothing to compare")
    return places, candidates


def _apart(numbers: pd.Series) -> pd.DataFrame:
    """Compare words by a number of each: negated distances on its scale."""
    return pd.DataFrame(-np.abs(np.subtract.outer(*[numbers.to_numpy()] * 2)), numbers.index, numbers.index)


def _categories(known: Known) -> pd.DataFrame:
    labels = np.asarray(known.captured["categories"])
    return known.over_words((labels[:, None] == labels).astype(float))


def _frequency(known: Known) -> pd.DataFrame:
    r"""Compare words by :math:`-|\log c_i - \log c_j|`, of their counts in a text."""
    path, words = known.counts, known.captured["words"]
    with readable(path, "table", "rdms.counts"):
        table = pd.read_csv(path, dtype={"word": str}, keep_default_na=False)
        columns = [column for column in table if column.endswith("count")]
        if "word" not in table or len(columns) != 1:
            raise ValueError(f"columns word and one that ends in count are needed, found {', '.join(table)}")
        counts = pd.to_numeric(table[columns[0]])
        if not (counts > 0).all():
            raise ValueError(f"{columns[0]} of {table['word'][(~(counts > 0)).idxmax()]!r} is not above 0")
    own = {word: count for word, count in zip(table["word"], counts, strict=True) if word in words}
    lacking = [word for word in words if word not in own]
    if len(lacking) > MOST_LACKING * len(words):  # all else would be compared by few words, too
        raise Missing(f"{path} lacks {len(lacking)} of {len(words)} words: {some_of(lacking, 10)}")
    return _apart(np.log(pd.Series(own)))


def _spelling(known: Known) -> pd.DataFrame:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    words = known.captured["words"]
    return known.over_words(cdist(words, words, scorer=Levenshtein.normalized_similarity, dtype=np.float64))


def _embeddings(known: Known) -> pd.DataFrame:
    if EMBEDDING not in known.run.names:
        raise Missing("the model has no input embeddings")
    return known.over_words(square(known.run[EMBEDDING][0], 0))


def _by_number(known: Known, numbers: Iterable[int], what: str) -> pd.DataFrame:
    found = pd.Series([*numbers], known.captured["words"])
    if found.nunique() == 1:
        raise Missing(f"all words have {found.iloc[0]} {what}")
    return _apart(found)


#: Geometries that need no file, by what `rdms.candidates` calls them.
KINDS: dict[str, Callable[[Known], pd.DataFrame]] = {
    "categories": _categories,
    "frequency": _frequency,
    "spelling": _spelling,
    "length": lambda known: _by_number(known, map(len, known.captured["words"]), "letters"),
    "tokens": lambda known: _by_number(known, map(len, known.captured["token_ids"]), "tokens"),
    "embeddings": _embeddings,
}


def _given(key: str, what: Any, folder: Path) -> pd.DataFrame:
    """Read a layer of a run, or a file."""
    if hasattr(what, "run"):
        return _of_run(key, what)
    path = folder / what.file
    if path.parent != folder or not path.is_file():
        raise UserError(f"{key}: there is no file {what.file} in {folder}")
    read = FORMATS.get(path.suffix.lower())
    if not read:
        raise UserError(f"{key}: {what.file} must end in one of {', '.join(FORMATS)}")
    with readable(path, "RDM", key):
        values, holds = read(path)
        _check(values)
        own = np.diagonal(values)
        if what.holds == "auto" and not holds and (np.isnan(own).any() or np.ptp(own)):
            raise ValueError("its diagonal does not say what it holds; add holds: distances, or similarities")
        holds = what.holds if what.holds != "auto" else holds or ("similarities" if own[0] else "distances")
    return -values if holds == "distances" else values


def _of_run(key: str, what: Any) -> pd.DataFrame:
    with open_run(what.run) as run:
        if what.matrix not in run.similarity.names:
            raise UserError(f"{key}: {what.run} has no {what.matrix}, only {', '.join(sorted(run.similarity.names))}")
        layers = [0] if what.matrix == EMBEDDING else run.layers
        check_layer(f"{key}.layer", what.layer, layers, what.run)
        values = square(run.similarity[what.matrix][layers.index(what.layer)], METRICS[run.record["metric"]].own)
        return pd.DataFrame(values, run.record["words"], run.record["words"])


def _check(values: pd.DataFrame) -> None:
    """Raise a ValueError unless words differ and every pair has one finite number."""
    for words in values.axes:
        if words.has_duplicates:
            raise ValueError(f"{words[words.duplicated()][0]!r} is in it twice")
    numbers = values.to_numpy()
    gaps = ~np.isfinite(numbers) & ~np.eye(len(words), dtype=bool)
    unequal = ~np.isclose(numbers, numbers.T, equal_nan=True)
    for wrong, said in ((gaps, "no number"), (unequal, "two different numbers")):
        if wrong.any():
            a, b = words[np.argwhere(wrong)[0]]
            raise ValueError(f"{said} for {a!r} and {b!r}")


def _read_csv(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a square table, words above and at the left; or a long one: two columns of words, and one of numbers."""
    cells = pd.read_csv(path, header=None, keep_default_na=False, dtype=str).to_numpy()
    if cells.shape[1] < 3:
        raise ValueError(f"columns separated by commas are needed, found {cells[0, 0]!r}")
    above, left = cells[0, 1:], cells[1:, 0]
    if len(above) > 2 or set(above) == set(left):
        values = pd.DataFrame(cells[1:, 1:], left, above).apply(pd.to_numeric, errors="coerce")
        if set(above) != set(left):
            raise ValueError("its first row and its first column hold different words")
        return values if values.index.has_duplicates else values.loc[:, left], ""
    rows = pd.DataFrame(cells[1:], columns=["a", "b", "number"])
    rows["number"] = pd.to_numeric(rows["number"], errors="coerce")
    both = pd.concat([rows, rows.rename(columns={"a": "b", "b": "a"})]).drop_duplicates()
    if (twice := both[both.duplicated(["a", "b"])]).size:
        raise ValueError(f"two different numbers for {twice['a'].iloc[0]!r} and {twice['b'].iloc[0]!r}")
    holds = {"sim": "similarities", "dis": "distances"}.get(cells[0, 2].lower()[:3], "")
    return both.pivot(index="a", columns="b", values="number"), holds


def _read_npz(path: Path) -> tuple[pd.DataFrame, str]:
    """Read NumPy arrays: `words`, and `distances` or `similarities`, square or of pairs."""
    with np.load(path, allow_pickle=False) as file:
        kind = next((name for name in ("distances", "similarities") if name in file), "")
        if "words" not in file or not kind:
            raise ValueError(f"arrays words, and distances or similarities, are needed; found {', '.join(file)}")
        values, words = file[kind].astype(float), file["words"].astype(str)
        return pd.DataFrame(square(values, 0) if values.ndim == 1 else values, words, words), kind


def _read_h5(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a single RDM as rsatoolbox saves it."""
    import h5py

    with h5py.File(path) as file:
        rows, group = file["dissimilarities"][:], file["pattern_descriptors"]
        texts = {**group, **group.attrs}
        key = next((name for name in DESCRIPTORS if name in texts), None)
        if len(rows) != 1 or key is None:
            raise ValueError(
                f"{len(rows)} RDMs, one is needed" if key else f"no descriptor of patterns such as {DESCRIPTORS[0]}"
            )
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in texts[key][:]]
        return pd.DataFrame(square(rows[0], 0), words, words), "distances"


#: Takes a path, returns a geometry or distances, and which of them, where the format says it.
FORMATS: dict[str, Callable[[Path], tuple[pd.DataFrame, str]]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
}
