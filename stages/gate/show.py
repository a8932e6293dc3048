"""What the gate found as tables: in the terminal, and as Markdown."""

from collections import Counter
from itertools import chain

from stages.artefacts.files import DECIMALS
from stages.gate.judge import Report
from stages.gate.verdicts import FAILED, UNJUDGED, Value, Verdict
from stages.pipeline.command import print_table

#: So many metrics within tolerance are listed unless all are asked for.
FEW = 10
#: A job summary on GitHub takes one megabyte.
MOST_ROWS = 500


def tables(report: Report, everything: bool) -> list[tuple[list[str], list[list[str]], str]]:
    """Return two tables, of metrics and of files: for each its headings, its rows, and what it leaves out."""
    judged = list(chain.from_iterable(report.judgements.values()))
    # What moves every number by its last decimal fills pages: those nearest to their limits say enough.
    within = [j for j in judged if j.verdict == Verdict.WITHIN]
    nearest = sorted(within, key=lambda j: abs(j.difference) / j.tolerance, reverse=True)[:FEW]
    listed = [j for kinds in (UNJUDGED, FAILED) for j in judged if j.verdict in kinds] + nearest
    left = f"and {len(within) - FEW} more within tolerance" if len(within) > FEW and not everything else ""
    metrics = [
        [metric, *map(written, (base, here, difference, tolerance)), str(verdict)]
        for metric, base, here, verdict, difference, tolerance in (judged if everything else listed)
    ]
    files = []
    for name, judgements in report.judgements.items():
        counts = Counter(j.verdict for j in judgements)
        largest = max((abs(j.difference) for j in judgements if j.difference), default=None)
        groups = ({Verdict.SAME}, {Verdict.WITHIN}, FAILED, UNJUDGED - report.allowed)
        files.append([name, *(str(sum(counts[v] for v in group)) for group in groups), written(largest)])
    return [
        (["metric", "base", "here", "difference", "tolerance", "verdict"], metrics, left),
        (["file", "same", "within", "beyond", "not judged", "largest difference"], files, ""),
    ]


def written(value: Value) -> str:
    """Write a value: numbers with the decimals that their files have, nothing as nothing."""
    if not isinstance(value, float):
        return value or ""
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return text if float(text) or not value else f"{value:g}"  # what is less than the last decimal


def show(report: Report, everything: bool) -> None:
    """Print the tables, and what is to be noted."""
    for headings, rows, left in tables(report, everything):
        if rows:
            print_table(headings, rows, left or None)
    for note in report.notes:
        print(f"note: {note}")


def markdown(report: Report, everything: bool) -> str:
    """Write the report as Markdown."""
    lines = [*report.sentence.splitlines(), *(f"note: {note}" for note in report.notes)]
    text = [f"### Metrics against {report.base}", "", *(f"- {line}" for line in lines), ""]
    for headings, rows, left in reversed(tables(report, everything)):
        if rows:
            cells = [headings, ["---"] * len(headings), *rows[:MOST_ROWS]]
            text += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
            if more := f"and {len(rows) - MOST_ROWS} more rows" if len(rows) > MOST_ROWS else left:
                text += ["", more]
            text.append("")
    return "\n".join(text)
