"""Draw the post's nine figures, and those of what it does not show, from tables and similarities."""

from collections.abc import Callable
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.pairs import category_masks, square
from stages.pipeline.stage import Stage, run
from stages.plotting import controls, ladder, maps, profiles, scatter, sentences, word_map, words
from stages.plotting.names import AT_TARGET, FIGURES, METRIC_LABELS, OTHER_DPI, OTHER_THEME
from stages.plotting.parallel import Drawing, draw_all
from stages.plotting.style import switched_off, titled
from stages.plotting.uncertainty import Uncertainty


def main(stage: Stage) -> None:
    settings, look = stage.settings, stage.settings.figures
    results = Results(stage.input, settings.focus_layer, settings.inference.alpha, settings.rsa.comparison)
    shown = Uncertainty(results.inference, results.alpha, look.bands, look.marks)
    drawings = draw_layer(results) | draw_layers(results, shown) | draw_controls(results)
    drawings |= {name: partial(titled, results.aside, drawings[name]) for name in FIGURES[AT_TARGET:]}
    folder, dpi = stage.folder("plots/other_theme"), min(look.dpi, OTHER_DPI)  # for the report's readers
    own = [Drawing(look.theme, drawings[n], stage.output(f"plots/figures/{n}.png"), look.dpi) for n in FIGURES]
    draw_all([*own, *(Drawing(OTHER_THEME[look.theme], drawings[n], folder / f"{n}.png", dpi) for n in FIGURES)])


def draw_layer(run: Results) -> dict[str, Callable[[], Figure]]:
    """Return what draws the figures of the focus layer."""
    layer, metric, categories, values = run.focus, run.record["metric"], run.record["categories"], run.at_focus
    squares = {name: square(condensed, METRIC_LABELS[metric].own) for name, condensed in values.items()}
    r, rsa, d = (
        {name: float(column[run.place]) for name, column in table.items()}
        for table in (run.correlation, run.rsa, run.separability)
    )
    return {
        "fig1_masks": partial(words.masks, category_masks(categories)),
        "fig2_activation_scatter": partial(scatter.activation_scatter, run.units, r, layer),
        "fig4_similarity_matrices": partial(words.similarity_matrices, squares, categories, metric, layer),
        "fig5_rsa_scatter": partial(scatter.rsa_scatter, values, rsa, metric, layer, run.comparison),
        "fig7_category_distributions": partial(scatter.category_distributions, values, run.within, d, metric, layer),
        "fig14_word_map": partial(word_map.word_map, *run.maps, run.record["words"], categories, layer),
    }


def draw_layers(run: Results, shown: Uncertainty) -> dict[str, Callable[[], Figure]]:
    """Return what draws the figures over layers."""
    if run.inference and run.comparison != "pearson":
        print(f"fig6_rsa_profile: no bands and marks, which are of Pearson's r and not of {run.comparison}")
    of_scores = shown if run.comparison == "pearson" else shown.without("rsa")
    return {
        "fig3_activation_correlation": partial(profiles.activation_correlation, run.correlation, run.numbers),
        "fig6_rsa_profile": partial(profiles.rsa_profile, run.rsa, run.numbers, run.comparison, of_scores),
        "fig8_category_profile": partial(profiles.category_profile, run.separability, run.rsa, run.numbers, shown),
        "fig9_within_vs_across": partial(profiles.within_vs_across, run.rsa, run.numbers, shown),
    }


def draw_controls(run: Results) -> dict[str, Callable[[], Figure]]:
    """Return what draws the figures of what the post does not show, or says why there is nothing to draw."""

    def figure(table: str, draw: Callable[..., Figure], *values: Any) -> Callable[[], Figure]:
        if not getattr(run, table):
            return partial(switched_off, run.reasons[table])
        return partial(draw, *values, layers=run.numbers)

    return {
        "fig10_ladder": figure("nulls", ladder.ladder_profile, run.nulls, run.alpha),
        "fig11_controls": figure("controls", controls.controls_profile, run.controls, run.nulls, run.alpha),
        "fig12_robustness": figure("robustness", controls.robustness_profile, run.robustness),
        "fig13_heads": figure("heads", maps.head_maps, run.heads, run.head_nulls),
        "fig15_sentences": figure("sentences", sentences.sentences_profile, run.sentences, run.alpha),
    }


if __name__ == "__main__":
    run("figures", main, __doc__)
