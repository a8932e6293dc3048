"""Hold the run against the post's findings and what is left of them, and put it in a few numbers."""

from stages.artefacts.files import write_json
from stages.artefacts.results import Results
from stages.findings.summary import ASKED, judge, summarise
from stages.findings.words import show
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    settings = stage.settings
    results = Results(stage.input, settings.focus_layer, settings.inference.alpha, settings.rsa.comparison)
    verdicts = judge(results)
    show(verdicts)
    write_json(stage.output("metrics/summary.json"), summarise(results, verdicts))
    write_json(
        stage.output("metrics/claims.json"),
        {
            name: {"measured": verdict.measured, "post": ASKED[name].post, "holds": verdict.holds}
            for name, verdict in verdicts.items()
        },
    )


if __name__ == "__main__":
    run("claims", main, __doc__)
