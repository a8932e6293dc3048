"""Compare every metric of the workspace with another revision's, within tolerances.

The metrics are summary, claims and tables: all *.json and *.csv in metrics/. How far each number may lie from the
base's is written in metrics/tolerances.yaml; text must be the same, a cell empty on both sides passes. It also compares
dvc.lock with the workspace: numbers that this code, these settings and data did not produce are not judged.
"""

import sys
from pathlib import Path

from stages.gate.judge import FEW, judge, markdown, show
from stages.gate.verdicts import Verdict
from stages.pipeline.command import parser, plain_errors, warn, writing

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


if __name__ == "__main__":
    main()
