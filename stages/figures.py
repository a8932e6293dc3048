"""Draw the post's nine figures, two of what it does not show, and that of the heads, from tables and similarities."""

from dataclasses import replace
from functools import partial

import numpy as np

from stages.artefacts import measures, store
from stages.geometry.comparison import same_rows
from stages.geometry.pairs import category_masks, square, within_category
from stages.pipeline.settings import check_focus_layer
from stages.pipeline.stage import Stage, run
from stages.plotting import controls, maps, profiles, scatter, words
from stages.plotting.parallel import draw_all
from stages.plotting.style import switched_off
from stages.plotting.uncertainty import Uncertainty


def main(stage: Stage) -> None:
    layer, look = stage.settings.focus_layer, stage.settings.figures
    with store.open_tensors(stage.input("data/similarity.safetensors")) as similarity:
        record = similarity.record
        check_focus_layer(layer, similarity.shape("q")[0])
        at_layer = {name: similarity[name][layer] for name in store.MATRICES}
    with store.open_tensors(stage.input("data/context.safetensors")) as context:
        units = {name: context[name][layer] for name in store.MATRICES}
    r = store.read_table(stage.input("metrics/correlation.csv"))
    rsa = store.read_table(stage.input("metrics/rsa.csv"))
    d = store.read_table(stage.input("metrics/separability.csv"))
    inference = measures.read_measures(stage.input("metrics/inference.csv"))
    controlled = measures.read_measures(stage.input("metrics/controls.csv"))
    robustness = store.read_table(stage.input("metrics/robustness.csv"), may_be_empty=True)
    heads = store.read_table(stage.input("metrics/heads.csv"), may_be_empty=True)

    categories, metric = record["categories"], record["metric"]
    own = 1.0 if metric != "euclidean" else 0.0
    if same_rows(units["q"]):
        units = {name: values[:1] for name, values in units.items()}

    alpha, comparison = stage.settings.inference.alpha, stage.settings.rsa.comparison
    shown = Uncertainty(inference, alpha, look.bands, look.marks)
    of_pearson = {name: cells for name, cells in inference.items() if name != "rsa" or comparison == "pearson"}
    if inference and comparison != "pearson":
        print(f"fig6_rsa_profile: no bands and marks, which are of Pearson's r and not of {comparison}")
    off = partial(switched_off, "controls.enabled")

    drawings = {
        "fig1_masks": partial(words.masks, category_masks(categories)),
        "fig2_activation_scatter": partial(
            scatter.activation_scatter, {name: np.ravel(v) for name, v in units.items()}, at(r, layer), layer
        ),
        "fig3_activation_correlation": partial(profiles.activation_correlation, r),
        "fig4_similarity_matrices": partial(
            words.similarity_matrices, {name: square(v, own) for name, v in at_layer.items()}, categories, metric, layer
        ),
        "fig5_rsa_scatter": partial(scatter.rsa_scatter, at_layer, at(rsa, layer), metric, layer, comparison),
        "fig6_rsa_profile": partial(profiles.rsa_profile, rsa, comparison, replace(shown, measures=of_pearson)),
        "fig7_category_distributions": partial(
            scatter.category_distributions, at_layer, within_category(categories), at(d, layer), metric, layer
        ),
        "fig8_category_profile": partial(profiles.category_profile, d, rsa, shown),
        "fig9_within_vs_across": partial(profiles.within_vs_across, rsa, shown),
        "fig10_controls": partial(controls.controls_profile, controlled, alpha) if controlled else off,
        "fig11_robustness": partial(controls.robustness_profile, robustness) if controlled else off,
        "fig12_heads": partial(maps.head_maps, heads) if heads["q"].size else partial(switched_off, "heads.enabled"),
    }
    files = {stage.output(f"plots/figures/{name}.png"): draw for name, draw in drawings.items()}
    draw_all(look.theme, files, look.dpi)


def at(table: dict[str, np.ndarray], layer: int) -> dict[str, float]:
    """Take one layer's row of a table."""
    return {name: float(values[layer]) for name, values in table.items()}


if __name__ == "__main__":
    run("figures", main, __doc__)
