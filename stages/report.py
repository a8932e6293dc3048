"""Write a page to look at: findings, figures with this run's numbers, and the similarity matrices of every layer."""

from pathlib import Path
from typing import Any

from stages.artefacts import measures, store
from stages.geometry.pairs import within_category
from stages.pages.captions import Results
from stages.pages.charts import matrices
from stages.pages.report import page
from stages.pipeline.schema import Section, Settings
from stages.pipeline.settings import check_focus_layer
from stages.pipeline.stage import Stage, run

FIGURES = (
    "fig1_masks",
    "fig2_activation_scatter",
    "fig3_activation_correlation",
    "fig4_similarity_matrices",
    "fig5_rsa_scatter",
    "fig6_rsa_profile",
    "fig7_category_distributions",
    "fig8_category_profile",
    "fig9_within_vs_across",
    "fig10_controls",
    "fig11_robustness",
    "fig12_heads",
)


def main(stage: Stage) -> None:
    settings = every_setting(stage.settings)
    focus, captured = settings["focus_layer"], store.read_json(stage.input("data/capture.json"))
    with store.open_tensors(stage.input("data/similarity.safetensors")) as tensors:
        record, layers = tensors.record, tensors.shape("q")[0]
        check_focus_layer(focus, layers)
        words, categories = record["words"], record["categories"]
        similarity = matrices(lambda name, layer: tensors[name][layer], layers, words, categories)
        mean = {name: float(tensors[name][focus].mean()) for name in store.MATRICES}
    results = Results(
        correlation=store.read_table(stage.input("metrics/correlation.csv")),
        rsa=store.read_table(stage.input("metrics/rsa.csv")),
        separability=store.read_table(stage.input("metrics/separability.csv")),
        robustness=store.read_table(stage.input("metrics/robustness.csv"), may_be_empty=True),
        heads=store.read_table(stage.input("metrics/heads.csv"), may_be_empty=True),
        inference=measures.read_measures(stage.input("metrics/inference.csv")),
        claims=store.read_json(stage.input("metrics/claims.json")),
        mean_similarity=mean,
        words=len(words),
        within=int(within_category(categories).sum()),
        focus=focus,
        context=settings["tokens.context"],
        comparison=settings["rsa.comparison"],
        alpha=settings["inference.alpha"],
    )
    text = page(
        results,
        captured,
        similarity,
        settings,
        {name: read_image(stage.input(f"plots/figures/{name}.png")) for name in FIGURES},
        stage.input("plots/vega.js").read_text(encoding="utf-8"),
    )
    stage.output("plots/report.html").write_text(text, encoding="utf-8", newline="\n")


def read_image(path: Path) -> bytes:
    """Read a PNG, and check that it is whole."""
    with store.readable(path, "figure"):
        image = path.read_bytes()
        if not (image.startswith(b"\x89PNG") and b"IEND" in image[-8:]):
            raise ValueError("no whole PNG")
    return image


def every_setting(settings: Any) -> dict[str, Any]:
    """List all of params.yaml by key, as the page shows it, but for the words, which it shows as captured."""
    found = {}
    for name, field in Settings.model_fields.items():
        if name == "words":
            continue
        section = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for key in [f"{name}.{inner}" for inner in field.annotation.model_fields] if section else [name]:
            value = settings
            for part in key.split("."):
                value = getattr(value, part)
            found[key] = value
    return found


if __name__ == "__main__":
    run("report", main, __doc__)
