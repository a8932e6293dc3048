"""What of tests and intervals a figure shows: bands, hollow marks, and their keys in the legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist

from stages.geometry.names import Scores
from stages.plotting.style import area_key, line_key, percent

if TYPE_CHECKING:
    from stages.artefacts.results import Results


@dataclass(frozen=True)
class Uncertainty:
    """Intervals and tests of a run, as far as a figure is to show them.

    Attributes
    ----------
    scores : Scores
        "low", "high" and "p_familywise" of measures. What is missing is not shown.
    alpha : float
        Level of the tests; intervals hold 1 - alpha.
    bands, marks : bool
        Whether intervals are shown, and whether tests are.
    """

    scores: Scores
    alpha: float
    bands: bool
    marks: bool

    def interval(self, measure: str, name: str) -> Mapping[str, np.ndarray] | None:
        """Return "low" and "high" of a matrix or pair, or None."""
        return self.scores.get((measure, name)) if self.bands else None

    def ends(self, measure: str, names: Sequence[str]) -> list[np.ndarray]:
        """List the ends of all intervals that are shown, for the limits of an axis."""
        intervals = [interval for name in names if (interval := self.interval(measure, name))]
        return [interval[end] for interval in intervals for end in ("low", "high")]

    def significant(self, measure: str, name: str) -> np.ndarray | None:
        """Return in which layers a family-wise test is passed, or None."""
        cells = self.scores.get((measure, name)) if self.marks else None
        return cells["p_familywise"] <= self.alpha if cells else None

    def band_keys(self, measure: str) -> list[Artist]:
        """List what the legend says of bands."""
        known = self.bands and any(names[0] == measure for names in self.scores)
        return [area_key(f"{percent(self.alpha)} interval", alpha=0.4)] if known else []

    def test_keys(self, measure: str, names: Sequence[str], of: str = "") -> list[Artist]:
        """List what the legend says of full and hollow marks, of those that occur."""
        tested = [passed for name in names if (passed := self.significant(measure, name)) is not None]
        kinds = {True: ("≤", {}), False: (">", {"markerfacecolor": "none"})}
        return [
            line_key(f"{of}family-wise p {sign} {self.alpha:g}", marker="o", line="", markersize=7, **fill)
            for passed, (sign, fill) in kinds.items()
            if any((cells == passed).any() for cells in tested)
        ]


#: No interval and no test.
CERTAIN = Uncertainty({}, 0.05, bands=False, marks=False)


def shown(run: "Results") -> Uncertainty:
    """Return what of a run's tests and intervals its figures are to show."""
    return Uncertainty(run.inference, run.alpha, run.bands, run.marks)
