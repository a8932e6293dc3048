"""Compare every metric of the workspace with another revision's, within tolerances.

The metrics are summary, claims and tables: all *.json and *.csv in metrics/. How far each number may lie from the
base's is written in metrics/tolerances.yaml; text must be the same, a cell empty on both sides passes. It also compares
dvc.lock with the workspace: numbers that this code, these settings and data did not produce are not judged.
"""

import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stages.artefacts.files import DECIMALS
from stages.gate import revisions, verdicts
from stages.gate.verdicts import FAILED, UNJUDGED, Judgement, Tolerances, Value, Verdict
from stages.pipeline import messages
from stages.pipeline.command import parser, plain_errors, print_table, warn, writing
from stages.pipeline.settings import read_checked

METRICS = Path("metrics")
ENDINGS = (".json", ".csv")
TOLERANCES = METRICS / "tolerances.yaml"
#: So many metrics within tolerance are listed unless all are asked for.
FEW = 10
#: A job summary on GitHub takes one megabyte.
MOST_ROWS = 500
EXITS = """exit codes:
  0  every metric is within its tolerance
  1  a number is beyond its tolerance, or text has changed
  2  it cannot judge: the base or a metric is missing, unreadable or not a number, rows or columns differ,
     or dvc.lock is not that of the workspace; this goes before 1
"""


def main() -> None:
    """Run the command."""
    options = parser("gate", __doc__, EXITS)
    options.add_argument("--base", metavar="REV", help="Git revision or DVC experiment; default: main or origin/main")
    every = f"list every metric, not only what fails and {FEW} of what differs"
    options.add_argument("--all", action="store_true", help=every)
    new = "let files, rows and columns pass that the base lacks"
    options.add_argument("--allow-new", action="store_true", help=new)
    added = "also add the tables to FILE, such as $GITHUB_STEP_SUMMARY"
    options.add_argument("--markdown", metavar="FILE", type=Path, help=added)
    chosen = options.parse_args()
    with plain_errors("gate", code=2):
        report = judge(chosen.base, {Verdict.NEW} if chosen.allow_new else set())
        show(report, chosen.all)
        if path := chosen.markdown:
            with writing(f"--markdown {path}:"), path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(markdown(report, chosen.all))
    (warn if report.code else print)(f"gate: {report.sentence}")
    sys.exit(report.code)


class Report(NamedTuple):
    """What the gate found: judgements by file, what else to note, the exit code, and the verdict on the whole."""

    base: str  # the revision that the workspace is compared with
    allowed: set[Verdict]  # those that count for neither failure
    judgements: dict[str, list[Judgement]]
    notes: list[str]
    code: int
    sentence: str


def judge(revision: str | None, allowed: set[Verdict]) -> Report:
    """Compare the workspace with a revision."""
    tolerances = read_checked(TOLERANCES, Tolerances, 'tolerances: a line for everything is `"*": 0.00001`')
    base, theirs = revisions.metrics_at(revision, METRICS.as_posix(), ENDINGS)
    ours = {path.name: path.read_bytes() for path in METRICS.iterdir() if path.name.endswith(ENDINGS)}
    judgements, problems = {}, []  # why it cannot judge, beside the judgements
    for name in sorted({*theirs, *ours}):
        sides = []
        for where, files in ((base, theirs), ("the workspace", ours)):
            try:
                sides.append(verdicts.parse(name, files[name].decode()) if name in files else None)
            except ValueError as error:  # UnicodeDecodeError, JSONDecodeError and pandas' errors are ValueErrors
                problems.append(messages.UNREADABLE.format(METRICS / name, where, str(error).strip()))
        if len(sides) == 2:
            judgements[name] = verdicts.compare(name, *sides, tolerances)
    judged = list(chain.from_iterable(judgements.values()))
    if all(j.verdict == Verdict.NEW for j in judged):
        problems.append(messages.NO_METRIC.format(base, METRICS))
    for stage, differences in revisions.stale().items():
        problems.append(messages.STALE.format(stage, ", ".join(differences)))
    notes = [f"no metric goes by {p!r} of {TOLERANCES}" for p in tolerances.unused(j.metric for j in judged)]
    failed, unjudged = (sum(j.verdict in kinds - allowed for j in judged) for kinds in (FAILED, UNJUDGED))
    counts = f"{failed} beyond tolerance or changed, {unjudged} not to be judged"
    code = 2 if problems or unjudged else 1 if failed else 0
    sentence = [
        f"within tolerance of {base}: {len(judged)} metrics",
        f"not within tolerance of {base}: {counts}",
        "\n".join([f"cannot judge against {base}: {counts}", *problems]),
    ][code]
    return Report(base, allowed, judgements, notes, code, sentence)


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


if __name__ == "__main__":
    main()
