"""What is asked of a run, and how what came out is written: shared by the log, the report and the README's test."""

from typing import Any

from stages.findings.claims import CLAIMS
from stages.findings.scrutiny import SCRUTINIES

#: By the ids of `metrics/claims.json`: the post's findings, then what is left of them.
ASKED = {**CLAIMS, **SCRUTINIES}


def in_words(measured: Any) -> str:
    """Write what a claim measured: a number, several by name, or nothing."""
    match measured:
        case None:
            return ""
        case int():
            return str(measured)
        case dict() if all(isinstance(value, dict) for value in measured.values()):
            return ", ".join(f"{name} {' / '.join(map(str, counts.values()))}" for name, counts in measured.items())
        case dict():
            return ", ".join(f"{name.replace('_', ' ')} {in_words(value)}" for name, value in measured.items())
        case _:
            return f"{measured:.2f}"
