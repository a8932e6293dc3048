"""The figures: each is registered beside the function that draws it, with its title, data, caption and alt text."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

import stages.plotting
from stages.plotting.style import panels

if TYPE_CHECKING:  # stage `matrices` draws, too, and reads no tables
    from stages.artefacts.results import Results

_ENTERED: dict[int, "figure"] = {}


@dataclass
class figure:
    """Enter the function that draws a figure, which takes arrays; its file is named after number and function."""

    number: int  # the pages' order; a ValueError where it is taken
    subject: str  # for the title on a page
    values: Callable[[Any], tuple]  # takes the run's `Results`, returns the function's arguments
    caption: Callable[[Any], str]  # takes them too, returns the sentences below the figure, with its numbers
    alternative: str  # what there is to see, for readers who do not
    table: str | None = None  # the attribute of `Results` without which there is nothing to draw
    one_layer: bool = False  # whether it shows the focus layer only
    at_target: bool = True  # whether it shows words as they are compared at `tokens.target`

    def __call__(self, draw: Callable[..., Figure]) -> Callable[..., Figure]:
        """Enter a function."""
        if taken := _ENTERED.get(self.number):
            raise ValueError(f"two figures have the number {self.number}: {taken.name}, {draw.__name__}")
        self.draw, self.name = draw, f"fig{self.number}_{draw.__name__}"
        _ENTERED[self.number] = self
        return draw

    def title(self, run: "Results") -> str:
        """Return what stands above it on a page."""
        return f"Figure {self.number}. {self.subject}" + (f", layer {run.focus}" if self.one_layer else "")

    def missing(self, run: "Results") -> str:
        """Return why there is nothing to draw, or nothing."""
        empty = self.table is not None and not getattr(run, self.table)
        return f"not computed: {run.reasons[self.table]}" if empty else ""

    def drawing(self, run: "Results") -> Callable[[], Figure]:
        """Return what draws it, without arguments, or says why it cannot be drawn; this can be pickled."""
        missing = self.missing(run)
        draw = partial(without_values, missing) if missing else partial(self.draw, *self.values(run))
        return partial(_titled, run.aside if self.at_target else "", draw)

    def text(self, run: "Results") -> str:
        """Return what stands below it on a page."""
        missing = self.missing(run)
        return f"{missing[0].upper()}{missing[1:]}." if missing else self.caption(run)


def figures() -> dict[str, figure]:
    """Return all figures by name, in the order of their numbers: those of every module of this room."""
    for module in pkgutil.iter_modules(stages.plotting.__path__):
        importlib.import_module(f"stages.plotting.{module.name}")
    return {entry.name: entry for _, entry in sorted(_ENTERED.items())}


def without_values(reason: str) -> Figure:
    """Draw, in place of a figure, the reason why there is none."""
    drawn, (axis,) = panels(1, width=8, height=2.5)
    axis.axis("off")
    axis.text(0.5, 0.5, reason, ha="center", va="center", weight="bold")
    return drawn


def _titled(aside: str, draw: Callable[[], Figure]) -> Figure:
    """Draw a figure, with an aside below its title unless that is empty."""
    drawn = draw()
    if aside:
        drawn.suptitle("\n".join(filter(None, [drawn.get_suptitle(), aside])), fontsize="medium")
    return drawn
