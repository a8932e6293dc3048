"""How findings are written: in the log, in the report, in a README."""

from collections.abc import Mapping
from typing import Any

from stages.findings.claims import Verdict
from stages.findings.summary import ASKED
from stages.pipeline.command import print_table


def in_words(measured: Any) -> str:
    """Write what a finding measured: a number, several by name, or nothing."""
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


def show(verdicts: Mapping[str, Verdict]) -> None:
    """Print a row for each verdict."""
    rows = []
    for name, (measured, holds, reason, beyond) in verdicts.items():
        words = "{verdict}, {above} of {of}".format(**beyond) if beyond else ""
        held = {True: "yes", False: "no", None: reason}[holds]
        rows.append([ASKED[name].finding, ASKED[name].post, in_words(measured), held, words])
    print_table(["finding", "the post", "this run", "holds", "beyond random maps"], rows)
