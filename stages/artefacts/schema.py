"""What each table in metrics/ holds: its keys, its numbers, and why cells may be empty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS

OFF, NOT_APPLICABLE, NOT_DRAWN, UNDEFINED = "off", "not applicable", "not drawn", "undefined"
#: Why cells are empty: of whole tables or columns of a measure, and, below, of single layers or heads.
STATUS = {
    OFF: "a setting switches the stage off",
    NOT_APPLICABLE: "a measure without test or interval, a model without what is asked for",
    NOT_DRAWN: "one number, not the mean of draws",
    UNDEFINED: "what it is made of does not vary, or is not reliable",
}


@dataclass(frozen=True)
class Table:
    """What a table holds.

    A wide one has a column a number, and no measures. A tidy one has the column "value", and of "low", "high", "p" and
    "p_familywise" those that some row has. ``empty`` maps patterns of measure, matrix or pair, and names to why cells
    may be empty, a key of `STATUS`; the first that fits counts.
    """

    columns: tuple[str, ...] = ("value",)
    switch: str = ""  # the setting that switches its stage off, if any
    wide: bool = False
    labels: tuple[str, ...] = ()  # columns of text before the numbers, which are no keys
    places: tuple[str, ...] = ("layer",)  # keys that are whole numbers
    names: tuple[str, ...] = ()  # keys that are text, beside measure and matrix or pair
    empty: Mapping[str, str] = field(default_factory=dict)
    inapplicable: str = ""  # why a model has no such table

    @property
    def text(self) -> tuple[str, ...]:
        """The keys that are text."""
        return () if self.wide else (*self.names, "measure", "of")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that say what a row is of."""
        return (*self.places, *self.text)

    @property
    def reasons(self) -> dict[str, str]:
        """Why the table as a whole is empty, by status."""
        off = {OFF: f"{self.switch} is false"} if self.switch else {}
        return {**off, NOT_APPLICABLE: self.inapplicable} if self.inapplicable else off

    def status(self, names: tuple[str, ...]) -> str:
        """Return why cells of these names may be empty; nothing where they may not."""
        return next((status for pattern, status in self.empty.items() if fnmatchcase(" ".join(names), pattern)), "")

    def needed(self, names: tuple[str, ...]) -> set[str]:
        """Return the columns that these names cannot do without."""
        whole = self.status(names) in {"", UNDEFINED}
        return {column for column in self.columns if whole or column == "value"}


RANGE, TESTED = ("value", "low", "high"), ("value", "low", "high", "p", "p_familywise")
#: RSA in `robustness.csv`, by comparison: where it is called nothing more, it is Pearson's r.
RSA_BY = {name: "rsa" if name == "pearson" else f"rsa_{name}" for name, some in COMPARISONS.items() if some.robust}
#: Measures of `rdms.csv` that have no test.
WITHOUT_TEST = ("unique *", "explained *", "shared *", "rsa_*")
OF_NULLS: Mapping[str, Any] = {
    "switch": "nulls.enabled",
    "inapplicable": "the model's Q, K and V are no linear maps of their input",
}

TABLES = {
    # K and V can be narrower than Q, and V than K: then there is nothing to pair its units with.
    "correlation.csv": Table((*PAIRS, *(f"{pair}_target" for pair in PAIRS)), wide=True, empty={"*": NOT_APPLICABLE}),
    "rsa.csv": Table((*PAIRS, *(f"{pair}_{kind}" for kind in ("within", "across") for pair in PAIRS)), wide=True),
    "separability.csv": Table(
        (*MATRICES, *(f"{n}_{k}_{s}" for n in MATRICES for k in ("within", "across") for s in ("mean", "sd"))),
        wide=True,
    ),
    "inference.csv": Table(
        TESTED, "inference.enabled", empty=dict.fromkeys(("rsa_*", "d_*", "cles *"), NOT_APPLICABLE)
    ),
    "controls.csv": Table(RANGE, "controls.enabled"),
    "robustness.csv": Table(switch="controls.enabled", names=("transform",)),
    "rdms.csv": Table(TESTED, "rdms.enabled", names=("rdm",), empty=dict.fromkeys(WITHOUT_TEST, NOT_APPLICABLE)),
    "heads.csv": Table(switch="heads.enabled", places=("layer", "head"), empty={"*": UNDEFINED}),
    "nulls.csv": Table(
        TESTED,
        names=("transform", "comparison", "rung"),
        # Partial RSA is undefined for maps that change no similarity.
        empty=dict.fromkeys(("*_step *", "* unbiased", "* trained"), NOT_DRAWN) | {"partial_rsa *": UNDEFINED},
        **OF_NULLS,
    ),
    "spectra.csv": Table(**OF_NULLS),
    "head_nulls.csv": Table(RANGE, places=("layer", "head"), empty={"*": UNDEFINED}, **OF_NULLS),
    "influence.csv": Table(places=("layer", "rank"), labels=("word",), empty={"*": UNDEFINED}),
    "anisotropy.csv": Table(names=("variant",), empty={"*": UNDEFINED}),
    "sentences.csv": Table(
        RANGE,
        "sentences.enabled",
        names=("sentence",),
        empty={"rsa_corrected *": UNDEFINED, "*": NOT_APPLICABLE},  # single sentences and ends have no interval
    ),
}
