"""Draw the paradox, the post's nine figures, and those of what it does not show, from tables and similarities."""

from functools import partial
from itertools import chain

from stages.artefacts.results import Results
from stages.pipeline.stage import Stage, run
from stages.plotting.parallel import share_out
from stages.plotting.registry import figures
from stages.plotting.style import OTHER_DPI, OTHER_THEME, missing_letters, themed


def main(stage: Stage) -> None:
    settings, look = stage.settings, stage.settings.figures
    given = settings.focus_layer, settings.inference.alpha, settings.rsa.comparison
    results = Results(stage.input, *given, context=settings.tokens.context, bands=look.bands, marks=look.marks)
    named = [results.record["words"], results.record["categories"], [name for *_, name in results.rdms or ()]]
    if said := missing_letters(dict.fromkeys(chain(*named))):
        print(said)
    drawings = {name: entry.drawing(results) for name, entry in figures().items()}
    own, other = stage.folder("plots/figures"), stage.folder("plots/other_theme")
    tasks = []
    for theme, folder, dpi in (look.theme, own, look.dpi), (OTHER_THEME[look.theme], other, min(look.dpi, OTHER_DPI)):
        tasks += [partial(themed, theme, draw, folder / f"{name}.png", dpi) for name, draw in drawings.items()]
    share_out(tasks, "figures", "figure")


if __name__ == "__main__":
    run("figures", main, __doc__)
