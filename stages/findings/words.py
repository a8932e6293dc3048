"""How claims are written: in the log, in the report, in a README."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from stages.findings.claims import Verdict
from stages.findings.summary import ASKED


def in_words(measured: Any) -> str:
    """Write what a claim measured: a number, several by name, or nothing."""
    match measured:
        case None:
            return ""
        case int() | str():
            return str(measured)
        case dict() if all(isinstance(value, dict) for value in measured.values()):
            return ", ".join(f"{name} {' / '.join(map(in_words, parts.values()))}" for name, parts in measured.items())
        case dict():
            return ", ".join(f"{name.replace('_', ' ')} {in_words(value)}" for name, value in measured.items())
        case _:
            return f"{measured:.2f}"


def show(verdicts: Mapping[str, Verdict], beyond: Mapping[str, Mapping]) -> None:
    """Print verdicts as a table: finding, post, this run, whether it holds, and whether it lies beyond random maps."""
    table = Table("finding", "the post", "this run", "holds", "beyond random maps", box=box.SIMPLE_HEAD)
    for name, verdict in verdicts.items():
        holds = {True: "yes", False: "no", None: verdict.reason}[verdict.holds]
        words = "{verdict}, {above} of {of}".format(**beyond[name]) if name in beyond else ""
        table.add_row(ASKED[name].finding, ASKED[name].post, in_words(verdict.measured), holds, words)
    console = Console()
    if not console.is_terminal:  # rich would fold the table to 80 columns in a log
        console.width = 120
    console.print(table)
