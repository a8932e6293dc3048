"""The figures, each entered beside the function that draws it: what it is called, drawn from, and said to show."""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

import stages.plotting
from stages.plotting.style import titled, without_values

if TYPE_CHECKING:  # stage `matrices` draws, too, and reads no tables
    from stages.artefacts.results import Results


@dataclass(frozen=True)
class Entry:
    """A figure; its fields are the arguments of `figure`, and the function that draws it."""

    number: int
    subject: str
    draw: Callable[..., Figure]
    values: Callable[["Results"], tuple]
    caption: Callable[["Results"], str]
    alternative: str
    table: str | None
    switch: str
    one_layer: bool
    at_target: bool

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"fig{self.number}_{self.draw.__name__}"

    def title(self, run: "Results") -> str:
        """Return what stands above it on a page."""
        return f"Figure {self.number}. {self.subject}" + (f", layer {run.focus}" if self.one_layer else "")

    def missing(self, run: "Results", off: Collection[str]) -> str:
        """Return why there is nothing to draw, or nothing.

        Parameters
        ----------
        run : Results
        off : collection of str
            The settings that are false.
        """
        if self.table is None or getattr(run, self.table):
            return ""
        reason = (
            f"{self.switch} is false" if self.switch in off else WITHOUT_VALUES.get(self.table, "no value is defined")
        )
        return f"not computed: {reason}"

    def drawing(self, run: "Results", off: Collection[str]) -> Callable[[], Figure]:
        """Return what draws it, without arguments, or says why it cannot be drawn; this can be pickled."""
        missing = self.missing(run, off)
        draw = partial(without_values, missing) if missing else partial(self.draw, *self.values(run))
        return partial(titled, run.aside if self.at_target else "", draw)

    def text(self, run: "Results", off: Collection[str]) -> str:
        """Return what stands below it on a page."""
        missing = self.missing(run, off)
        return f"{missing.capitalize()}." if missing else self.caption(run)


#: Why a table is empty although its stage is switched on.
WITHOUT_VALUES = {"nulls": "Q, K and V of this model are not linear maps of the layer's input"}
_ENTERED: dict[int, Entry] = {}


def figure(
    number: int,
    subject: str,
    *,
    values: Callable[[Any], tuple],
    caption: Callable[[Any], str],
    alternative: str,
    table: str | None = None,
    switch: str | None = None,
    one_layer: bool = False,
    at_target: bool = True,
) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """Enter the function that draws a figure; its file is named after number and function.

    Parameters
    ----------
    number : int
        The pages' order.
    subject : str
        For the title on a page.
    values : callable
        Takes the run's `Results`, gives the function's arguments.
    caption : callable
        Takes the run's `Results`, gives the sentences below the figure, with its numbers.
    alternative : str
        What there is to see, for readers who do not.
    table : str, optional
        The attribute of `Results` without which there is nothing to draw.
    switch : str, optional
        The setting that leaves that table empty: without it ``{table}.enabled``.
    one_layer : bool
        Whether it shows the focus layer only.
    at_target : bool
        Whether it shows words as they are compared at `tokens.target`.

    Raises
    ------
    ValueError
        If there is a figure of that number.
    """

    def enter(draw: Callable[..., Figure]) -> Callable[..., Figure]:
        if number in _ENTERED:
            raise ValueError(f"two figures have the number {number}: {_ENTERED[number].name} and {draw.__name__}")
        _ENTERED[number] = Entry(
            number,
            subject,
            draw,
            values,
            caption,
            alternative,
            table,
            switch or f"{table}.enabled",
            one_layer,
            at_target,
        )
        return draw

    return enter


def figures() -> Mapping[str, Entry]:
    """Return all figures by name, in the order of their numbers: those of every module of this room."""
    for module in pkgutil.iter_modules(stages.plotting.__path__):
        importlib.import_module(f"stages.plotting.{module.name}")
    return {entry.name: entry for _, entry in sorted(_ENTERED.items())}
