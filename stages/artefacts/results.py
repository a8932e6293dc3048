"""The results of a run, in one place: its tables, and what of its similarities is asked for in one layer."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.artefacts.files import Tensors, read_json
from stages.artefacts.kept import FOLDER, read_kept
from stages.artefacts.layers import layers_of
from stages.artefacts.tables import read_reason, read_table
from stages.geometry.comparison import pairwise, same_rows
from stages.geometry.names import MANY_WORDS, MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.scaling import word_maps
from stages.pipeline.progress import stack
from stages.pipeline.settings import check_layer


def _table(name: str) -> Any:
    return cached_property(lambda run: run.read(name))


class _Reasons(dict):
    """Why tables are empty, by name, read when asked for: "nulls.enabled is false"."""

    def __init__(self, find: Callable[[str], Path]) -> None:
        self._find = find

    def __missing__(self, name: str) -> str:
        return self.setdefault(name, read_reason(self._find(f"metrics/{name}.csv")))


class Results:
    """What a run measured, read when it is first asked for; tables of stages that had nothing to do are empty.

    Parameters
    ----------
    find : callable
        Takes a path in the repository, returns where it is: `Stage.input`.
    focus : int
        The focus layer.
    alpha : float
        Level of the tests; intervals hold 1 - alpha.
    comparison : str
        What RSA scores over all pairs are: a key of `stages.geometry.comparison.COMPARISONS`.
    **known
        Attributes that need not be read.

    Attributes
    ----------
    correlation, rsa, separability, robustness, heads, spectra, head_nulls, inference, sentences, influence, \
    anisotropy, controls, rdms
        The tables of these names in `metrics/`, as in `stages.artefacts.tables`; ``null_choices`` is `nulls.csv`.
    reasons : mapping of str to str
        Why one of these tables is empty, by its name: "nulls.enabled is false".
    claims : mapping
        `metrics/claims.json`.
    """

    correlation, rsa, separability = _table("correlation"), _table("rsa"), _table("separability")
    inference, robustness, heads = _table("inference"), _table("robustness"), _table("heads")
    null_choices, spectra, head_nulls = _table("nulls"), _table("spectra"), _table("head_nulls")
    sentences, influence, anisotropy = _table("sentences"), _table("influence"), _table("anisotropy")
    controls, rdms = _table("controls"), _table("rdms")
    claims = cached_property(lambda run: read_json(run.find("metrics/claims.json")))
    #: The runs of other models in `metrics/models/`.
    kept = cached_property(lambda run: read_kept(run.find(FOLDER.as_posix())))
    similarity = cached_property(lambda run: Tensors(run.find("data/similarity.safetensors")))
    #: What the similarities are of: ``words``, ``categories``, ``metric``, ``transform``; a hybrid's ``layers``.
    record = cached_property(lambda run: run.similarity.record)
    #: Whether both words of a pair are of one category: ndarray of bool, shape (pairs,).
    within = cached_property(lambda run: within_category(run.record["categories"]))

    def __init__(
        self,
        find: Callable[[str], Path] = Path,
        focus: int = 0,
        alpha: float = 0.05,
        comparison: str = "pearson",
        **known: Any,
    ) -> None:
        self.find, self.alpha, self.comparison, self._focus = find, alpha, comparison, focus
        self.reasons = _Reasons(find)
        vars(self).update(known)

    def read(self, name: str) -> dict[Any, Any]:
        """Read a table of this run by its name."""
        return read_table(self.find(f"metrics/{name}.csv"), self.record.get("layers"))

    @cached_property
    def pearson(self) -> dict[str, np.ndarray]:
        """RSA over all pairs of words as Pearson's r, as all else is, whatever ``rsa.comparison`` says: by pair."""
        if self.comparison == "pearson":
            return {pair: self.rsa[pair] for pair in PAIRS}
        return stack(map(pairwise, layers_of(self.similarity, MATRICES)))

    @property
    def at_word(self) -> bool:
        """Whether words are compared at their own token."""
        return self.record.get("target") == self.record.get("word_position")

    @property
    def aside(self) -> str:
        """What titles say where similarities are not those at the words' own tokens in the prompt's sentence alone."""
        if averaged := self.record.get("sentences"):
            return f"means over {len(averaged)} sentences; random maps, heads and single units are of the prompt's own"
        target, own = self.record.get("target"), self.record.get("word_position")
        return "" if self.at_word else f"words compared at token {target}, not at their own, {own}"

    @cached_property
    def nulls(self) -> dict[tuple[str, ...], dict[str, np.ndarray]]:
        """The ladder under the run's own transform, with Pearson's r: by measure, matrix or pair, and rung or step."""
        own = (self.record.get("transform"), "pearson")
        return {(*key[:2], key[4]): cells for key, cells in self.null_choices.items() if key[2:4] == own}

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """`metrics/verdicts.csv`, by measure, matrix or pair, rung, transform and comparison; empty without nulls."""
        path = self.find("metrics/verdicts.csv")
        if not self.null_choices:  # it has no columns
            return pd.DataFrame()
        table = pd.read_csv(path, keep_default_na=False)
        return table.set_index(["measure", "of", "rung", "transform", "comparison"]).sort_index()

    @cached_property
    def at_focus(self) -> dict[str, np.ndarray]:
        """The similarities of the focus layer: by matrix, shape (pairs,)."""
        return {name: self.similarity[name][self.place] for name in MATRICES}

    @cached_property
    def units(self) -> dict[str, np.ndarray]:
        """Activations at focus layer and context token, by matrix, flattened: of one word where all are alike."""
        context = Tensors(self.find("data/context.safetensors"))
        units = {name: context[name][self.place] for name in MATRICES}
        one = 1 if same_rows(units["q"]) else None
        return {name: np.ravel(values[:one]) for name, values in units.items()}

    @cached_property
    def maps(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """The words' maps at the focus layer, shape (words, 2), and their stress: by matrix."""
        few = len(self.record["words"]) < MANY_WORDS  # then turned as those of all layers are
        some, at = (slice(None), self.place) if few else (slice(self.place, self.place + 1), 0)
        similarity = np.stack([self.similarity[name][some] for name in MATRICES], axis=1)
        points, stress = word_maps(similarity, self.record["metric"])
        return dict(zip(MATRICES, points[at], strict=True)), dict(zip(MATRICES, stress[at].tolist(), strict=True))

    @cached_property
    def mean_similarity(self) -> dict[str, float]:
        """Mean similarity over all word pairs at the focus layer, by matrix."""
        return {name: float(values.mean()) for name, values in self.at_focus.items()}

    @property
    def focus(self) -> int:
        """The focus layer; a `UserError` if it was not captured."""
        check_layer("focus_layer", self._focus, self.numbers)
        return self._focus

    @property
    def place(self) -> int:
        """The focus layer's place among the layers."""
        return self.numbers.index(self.focus)

    @property
    def layers(self) -> int:
        """How many layers were captured."""
        return len(self.rsa["qk"])

    @cached_property
    def numbers(self) -> Sequence[int]:
        """The layers' numbers, as the model counts: of a hybrid those that attend."""
        return self.record.get("layers") or range(self.layers)

    def rsa_by_layer(self) -> np.ndarray:
        """Return the mean RSA score of the three pairs, shape (layers,)."""
        return np.mean([self.rsa[pair] for pair in PAIRS], axis=0)

    def pearson_by_layer(self) -> np.ndarray:
        """Return the same as Pearson's r."""
        return np.mean([self.pearson[pair] for pair in PAIRS], axis=0)
