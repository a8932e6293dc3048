"""Guard the numbers: hold every metric of the workspace against another revision's, within tolerances.

The metrics are summary, claims and tables: all *.json and *.csv in metrics/. How far each number may lie from the
base's is written in metrics/tolerances.yaml; text must be the same, a cell empty on both sides passes. It also holds
dvc.lock against the workspace: numbers that the code, the settings and the data did not give are not judged.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Column, Table

from stages.artefacts.files import DECIMALS
from stages.gate import revisions, verdicts
from stages.gate.verdicts import FAILED, UNJUDGED, Judgement, Value, Verdict
from stages.pipeline.errors import UserError

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


@dataclass
class Report:
    """What the gate found.

    Attributes
    ----------
    base : str
        The revision that the workspace is held against.
    allowed : set of Verdict
        Verdicts that count for neither failure.
    judgements : dict of str to list of Judgement
        By file.
    problems : list of str
        Why it cannot judge, beside the judgements; a line each.
    notes : list of str
        What else the user should know.
    """

    base: str
    allowed: set[Verdict]
    judgements: dict[str, list[Judgement]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def among(self, kinds: set[Verdict]) -> list[Judgement]:
        """Give the judgements of these verdicts that count."""
        counted = kinds - self.allowed
        return [j for judgements in self.judgements.values() for j in judgements if j.verdict in counted]

    @property
    def code(self) -> int:
        """The exit code."""
        return 2 if self.problems or self.among(UNJUDGED) else 1 if self.among(FAILED) else 0

    @property
    def sentence(self) -> str:
        """The verdict on the whole."""
        counts = f"{len(self.among(FAILED))} beyond tolerance or changed, {len(self.among(UNJUDGED))} not to be judged"
        return {
            0: f"within tolerance of {self.base}: {sum(map(len, self.judgements.values()))} metrics",
            1: f"not within tolerance of {self.base}: {counts}",
            2: f"cannot judge against {self.base}: {counts}" + "".join(f"\n{line}" for line in self.problems),
        }[self.code]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.gate",
        description=__doc__,
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--base", metavar="REV", help="Git revision or DVC experiment; default: main, else origin/main")
    parser.add_argument(
        "--all", action="store_true", help=f"list every metric, not only what fails and {FEW} of what differs"
    )
    parser.add_argument("--allow-new", action="store_true", help="let files, rows and columns pass that the base lacks")
    parser.add_argument(
        "--markdown",
        metavar="FILE",
        type=Path,
        help="also add the tables to the end of FILE as Markdown, which is how $GITHUB_STEP_SUMMARY is written",
    )
    arguments = parser.parse_args()
    try:
        report = judge(arguments.base, {Verdict.NEW} if arguments.allow_new else set())
        show(report, arguments.all)
        if arguments.markdown:
            add(arguments.markdown, markdown(report, arguments.all))
    except UserError as error:
        print(f"gate: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("gate: interrupted", file=sys.stderr)
        sys.exit(130)
    print(f"gate: {report.sentence}", file=sys.stderr if report.code else sys.stdout)
    sys.exit(report.code)


def judge(revision: str | None, allowed: set[Verdict]) -> Report:
    """Hold the workspace against a revision."""
    tolerances = verdicts.read_tolerances(TOLERANCES)
    base, theirs = revisions.metrics_at(revision, str(METRICS), ENDINGS)
    ours = {path.name: path.read_bytes() for path in sorted(METRICS.iterdir()) if path.name.endswith(ENDINGS)}
    report = Report(base, allowed)
    for name in sorted({*theirs, *ours}):
        sides = []
        for where, files in ((base, theirs), ("the workspace", ours)):
            try:
                sides.append(verdicts.parse(name, files[name].decode()) if name in files else None)
            except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
                report.problems.append(f"{METRICS / name} of {where} cannot be read: {error}")
        if len(sides) == 2:
            try:
                report.judgements[name] = verdicts.compare(name, *sides, tolerances)
            except UserError as error:
                raise UserError(f"{TOLERANCES}: {error}") from None
    judged = [j for judgements in report.judgements.values() for j in judgements]
    if all(j.verdict == Verdict.NEW for j in judged):
        report.problems.append(f"{base} has no metric in {METRICS}")
    for pattern in verdicts.unused(tolerances, [j.metric for j in judged]):
        report.notes.append(f"no metric goes by {pattern!r} of {TOLERANCES}")
    for stage, differences in revisions.stale().items():
        report.problems.append(f"dvc.lock is stale, stage {stage}: {', '.join(differences)}; run `dvc repro`")
    return report


def tables(report: Report, everything: bool) -> list[tuple[list[str], list[list[str]], str]]:
    """Put a report in two tables, of metrics and of files: for each its headings, its rows, and what it leaves out."""
    judged = [j for judgements in report.judgements.values() for j in judgements]
    failed = [j for j in judged if j.verdict in FAILED | UNJUDGED]
    within = [j for j in judged if j.verdict == Verdict.WITHIN]
    # What moves every number by its last decimal fills pages: those nearest to their limits say enough.
    nearest = sorted(within, key=lambda j: abs(j.difference) / j.tolerance, reverse=True)[:FEW]
    chosen = judged if everything else sorted(failed, key=lambda j: j.verdict in FAILED) + nearest
    listed = [[j.metric, *map(in_words, (j.base, j.here, j.difference, j.tolerance)), str(j.verdict)] for j in chosen]
    left = f"and {len(within) - FEW} more within tolerance" if len(within) > FEW and not everything else ""
    files = []
    for name, judgements in report.judgements.items():
        counts = Counter(j.verdict for j in judgements)
        largest = max((abs(j.difference) for j in judgements if j.difference), default=None)
        groups = ({Verdict.SAME}, {Verdict.WITHIN}, FAILED, UNJUDGED - report.allowed)
        files.append([name, *(str(sum(counts[v] for v in group)) for group in groups), in_words(largest)])
    return [
        (["metric", "base", "here", "difference", "tolerance", "verdict"], listed, left),
        (["file", "same", "within", "beyond", "not judged", "largest difference"], files, ""),
    ]


def in_words(value: Value) -> str:
    """Write a value: numbers with the decimals that their files have, nothing as nothing."""
    if not isinstance(value, float):
        return value or ""
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return text if float(text) or not value else f"{value:g}"  # what is less than the last decimal


def show(report: Report, everything: bool) -> None:
    """Print the tables, and what is to be noted."""
    console = Console()
    if not console.is_terminal:  # rich would fold the table to 80 columns in a log
        console.width = 120
    for headings, rows, left in tables(report, everything):
        if rows:
            table = Table(*(Column(heading, overflow="fold") for heading in headings), box=box.SIMPLE_HEAD)
            for row in rows:
                table.add_row(*row)
            table.caption = left or None
            console.print(table, markup=False)
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


def add(path: Path, text: str) -> None:
    """Add text to the end of a file."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"--markdown {path}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    main()
