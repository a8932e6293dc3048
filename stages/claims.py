"""Judge the run by the post's findings, by what random maps leave of them, and put it in a few numbers."""

from stages.artefacts.files import write_json
from stages.artefacts.results import Results
from stages.findings.beyond import as_table, beyond_random_maps, verdicts
from stages.findings.shelf import shelf
from stages.findings.summary import ASKED, CLAIMS, judge, summarise
from stages.findings.words import show
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    settings = stage.settings
    results = Results(stage.input, settings.focus_layer, settings.inference.alpha, settings.rsa.comparison)
    found, ladder = judge(results), results.null_choices
    beyond = beyond_random_maps(ladder, results.alpha)
    show(found, beyond)
    write_json(stage.output("metrics/summary.json"), summarise(results, found, beyond))
    claims = {name: {"measured": v.measured, "post": ASKED[name].post, "holds": v.holds} for name, v in found.items()}
    for name in CLAIMS:
        claims[name]["beyond_random_maps"] = beyond.get(name)
    write_json(stage.output("metrics/claims.json"), claims)
    table = as_table(verdicts(ladder, results.alpha) if ladder else {})
    shelf(results.kept).to_csv(stage.output("metrics/models.csv"), index=False, lineterminator="\n")
    table.to_csv(stage.output("metrics/verdicts.csv"), index=False, lineterminator="\n")


if __name__ == "__main__":
    run("claims", main, __doc__)
