"""The registries of metrics, transforms and comparisons: what they state is so, and one more of each runs."""

import re
from itertools import product
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from stages.geometry import names
from stages.geometry.comparison import COMPARISONS, Comparison
from stages.geometry.pairs import condense
from stages.geometry.similarity import METRICS, Metric, cosine
from stages.geometry.transforms import TRANSFORMS, Transform
from stages.pipeline.schema import Rsa, Similarity

REGISTRIES = {
    "similarity.metric": (METRICS, names.MetricName, Similarity),
    "similarity.transform": (TRANSFORMS, names.TransformName, Similarity),
    "rsa.comparison": (COMPARISONS, names.ComparisonName, Rsa),
}


@pytest.mark.parametrize("setting", REGISTRIES)
def test_settings_and_pages_offer_the_registries(setting: str) -> None:
    registry, choices, section = REGISTRIES[setting]
    key = setting.partition(".")[2]
    assert list(registry) == list(get_args(choices)) == section.model_json_schema()["properties"][key]["enum"]
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (comment,) = re.findall(rf"((?: *#.*\n)+) *{key}:", params)
    told = (ROOT / "metrics/README.md").read_text(encoding="utf-8")
    page = re.search(rf"- `{setting}` ?.*?(?=\n-|\n\n)", told, re.DOTALL)
    for name in registry:
        assert re.search(rf"\b{name}\b", comment), name
        assert f"`{name}`" in page[0], name


def reordered(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    order = rng.permutation(12)
    return tuple(condense(squareform(values)[np.ix_(order, order)]) for values in (a, b))


def word_sums(rng: np.random.Generator) -> np.ndarray:
    effect = rng.normal(size=12)
    return condense(effect[:, None] + effect[None, :])


#: By what may be stated: how the arguments of a metric, a transform and a comparison change.
OF_METRICS = {
    "rotation": lambda x, rng: (x @ ortho_group.rvs(8, random_state=rng),),
    "scale": lambda x, rng: (x * rng.uniform(0.1, 10, size=(12, 1)),),
    "shift": lambda x, rng: (x + rng.normal(size=(12, 1)),),
    "translation": lambda x, rng: (x + rng.normal(size=8),),
}
OF_TRANSFORMS = {
    "shift": lambda x, reference, rng: (x + (by := rng.normal(size=8)), reference + by),
    "scale": lambda x, reference, rng: (x * (by := rng.uniform(0.1, 10, size=8)), reference * by),
}
OF_COMPARISONS = {
    "word order": reordered,
    "shift": lambda a, b, rng: (a + 3, b - 1),
    "positive scale": lambda a, b, rng: (2 * a, 0.1 * b),
    "increasing function": lambda a, b, rng: (np.exp(3 * a), b**3),
    "word effects": lambda a, b, rng: (a + word_sums(rng), b + word_sums(rng)),
}
CHANGES = {"similarity.metric": OF_METRICS, "similarity.transform": OF_TRANSFORMS, "rsa.comparison": OF_COMPARISONS}


@pytest.mark.parametrize(
    ("setting", "name", "change"),
    [(s, name, change) for s, (registry, *_) in REGISTRIES.items() for name, change in product(registry, CHANGES[s])],
)
def test_each_is_invariant_to_what_it_states_and_to_nothing_else(setting: str, name: str, change: str) -> None:
    choice = REGISTRIES[setting][0][name]
    assert choice.invariant_to <= set(CHANGES[setting])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(12, 8))
        other = x + 0.5 * rng.normal(size=(12, 8))
        match choice:
            case Metric():
                work, given = choice, (x,)
            case Transform():
                work, given = choice.apply, (x, other)
            case Comparison():
                work, given = choice.score, (cosine(x), cosine(other))
        before, after = work(*given), work(*CHANGES[setting][change](*given, rng))
        if change in choice.invariant_to:
            np.testing.assert_allclose(after, before, atol=1e-8)
        else:
            assert np.abs(after - before).max() > 1e-6


def test_what_the_readme_adds_runs_through_the_pipeline(tiny: Project) -> None:
    """Its three blocks of code, and a word each in the list of names."""
    added = {"angle": ("similarity", "Metric"), "without_top": ("transforms", "Transform")}
    added["quadrant"] = ("comparison", "Comparison")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "stages/geometry/README.md").read_text("utf-8"), re.DOTALL)
    for (name, (module, kind)), block in zip(added.items(), blocks, strict=True):
        assert block.count("\n") <= 10
        with (tiny.root / f"stages/geometry/{module}.py").open("a", encoding="utf-8") as file:
            file.write(f"\n\n{block}")
        tiny.replace("stages/geometry/names.py", f"{kind}Name = Literal[", f'{kind}Name = Literal["{name}", ')
    tiny.set(similarity__metric="angle", similarity__transform="without_top", rsa__comparison="quadrant")
    tiny.env["DRAWN"] = "fig4_similarity_matrices fig10_ladder fig12_robustness"
    tiny.repro()
    found = load_file(tiny.root / "data/activations.safetensors")
    features = {}
    for name in "qk":
        x = found[f"attn_1_{name}"][:, -1].astype(float)
        x -= x.mean(axis=0)
        x -= np.outer(x @ (top := np.linalg.svd(x)[2][0]), top)
        similarity = 1 - np.arccos(1 - pdist(x, "cosine")) / np.pi
        features[name] = np.sign(similarity - np.median(similarity))
    tables = {name: pd.read_csv(tiny.root / f"metrics/{name}.csv") for name in ("rsa", "robustness", "nulls")}
    assert tables["rsa"]["qk"][1] == pytest.approx(np.corrcoef(features["q"], features["k"])[0, 1], abs=1e-6)
    of = tables["robustness"].set_index(["transform", "measure", "of", "layer"])["value"]
    assert of["without_top", "rsa_quadrant", "qk", 1] == pytest.approx(tables["rsa"]["qk"][1], abs=1e-6)
    drawn = tables["nulls"].query("measure == 'rsa' and rung == 'spectrum'").groupby(["transform", "comparison"])
    assert len(drawn) == 4 * 4
    page = (tiny.root / "plots/report.html").read_text(encoding="utf-8")
    assert all(said in page for said in ("Angular similarity", "quadrant r", "without their main direction"))
