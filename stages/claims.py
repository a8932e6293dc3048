"""Judge the run by the post's findings, by what random maps leave of them, and put it in a few numbers."""

import pandas as pd

from stages.artefacts.files import write_json
from stages.artefacts.results import Results
from stages.findings.beyond import Beyond, verdicts
from stages.findings.summary import ASKED, CLAIMS, shelf, show, summarise
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    settings = stage.settings
    results = Results(stage.input, settings.focus_layer, settings.inference.alpha, settings.rsa.comparison)
    found = {name: finding.judge(results) for name, finding in ASKED.items()}
    show(found)
    summary = summarise(results, found)
    print(*summary["notes"], sep="\n")
    write_json(stage.output("metrics/summary.json"), summary)
    claims = {name: {"measured": v.measured, "post": ASKED[name].post, "holds": v.holds} for name, v in found.items()}
    for name in CLAIMS:
        claims[name]["beyond_random_maps"] = found[name].beyond
    write_json(stage.output("metrics/claims.json"), claims)
    shelf(results.kept).to_csv(stage.output("metrics/models.csv"), index=False, lineterminator="\n")
    rows = [(*key, *counts) for key, counts in verdicts(results.null_choices, results.alpha).items()]
    table = pd.DataFrame(rows, columns=["measure", "of", "rung", "transform", "comparison", *Beyond._fields])
    table.to_csv(stage.output("metrics/verdicts.csv"), index=False, lineterminator="\n")


if __name__ == "__main__":
    run("claims", main, __doc__)
