"""What the report says: a run's results, put into the template."""

import base64
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.artefacts.results import Results
from stages.findings.answer import answer
from stages.findings.claims import CLAIMS, of_post
from stages.findings.evidence import TESTS
from stages.findings.summary import in_words
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import LABELS, MATRICES, PAIRS, Arrays
from stages.geometry.similarity import METRICS
from stages.pages.charts import layer_by_layer, matrix_spec, profile_spec
from stages.pipeline.settings import in_short, written
from stages.plotting.captions import at, number, numbers
from stages.plotting.registry import figure, figures
from stages.plotting.style import OTHER_THEME, percent

#: Where the page's template, style and script are.
TEMPLATES = Path(__file__).parent


def page(
    run: Results, captured: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, tuple[bytes, bytes]]
) -> str:
    """Return the report, one HTML page that loads nothing.

    `captured` is `data/capture.json`; `settings` are all of `params.yaml`, by key; `images` are the figures by name as
    PNG, in the theme of ``figures.theme`` and in the other.
    """
    of = run.record
    similarity, word_map = layer_by_layer(run.similarity, of["words"], of["categories"], of["metric"], run.place)
    metric = METRICS[settings["similarity.metric"]]
    off = [key for key, value in settings.items() if key.endswith(".enabled") and not value]
    holds = [run.claims[name]["holds"] for name in of_post()]
    profiles = [
        _profile("profile-rsa", f"RSA score ({COMPARISONS[run.comparison].name})", "rsa", run.rsa, PAIRS, run),
        _profile("profile-d", "Cohen's d, within against across categories", "d", run.separability, MATRICES, run),
    ]
    options = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(TEMPLATES), **options)
    environment.filters |= {"number": number, "in_words": in_words}
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "ensure_ascii": False}
    theme = settings["figures.theme"]
    lead, *rest = [_figure(entry, run, (theme, OTHER_THEME[theme]), images[name]) for name, entry in figures().items()]
    words = [*zip(captured["words"], captured["categories"], strict=True)]
    blocks = {category: [word for word, own in words if own == category] for category in captured["categories"]}
    return environment.get_template("report.html").render(
        css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        javascript=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
        vega=f"(() => {{\n{vl_convert.javascript_bundle()}\n}})();",  # else its short names are the page's
        claims=CLAIMS,
        tests=TESTS,
        run=run,
        captured=captured,
        model=captured["model"].replace("\\", "/").rstrip("/").split("/")[-1] or captured["model"],
        blocks=blocks,
        holds=holds,
        off=off,
        similarity=metric.long,
        percent=percent(run.alpha),
        profiles=profiles,
        answer=answer(run),
        lead=lead,  # Figure 0 carries the answer
        figures=rest,
        steps=steps(run, captured["categories"], settings, off),
        provenance=provenance(captured, settings),
        settings={key: written(value) for key, value in settings.items()},
        data={
            "similarity": {**similarity, "own": metric.own},
            "map": word_map,
            "matrices": {name: matrix_spec(LABELS[name], metric, similarity) for name in MATRICES},
            "profiles": {profile["id"]: profile["spec"] for profile in profiles},
            "layers": [*run.numbers],
            "scores": [
                f"Layer {layer}: RSA {numbers(at(run.rsa, place))}; Cohen's d {numbers(at(run.separability, place))}"
                for place, layer in enumerate(run.numbers)
            ],
        },
    )


def steps(run: Results, categories: Sequence[str], settings: Mapping[str, Any], off: Sequence[str]) -> dict[str, str]:
    """Suggest experiments that this run calls for: by why, the command."""
    rsa = run.rsa_by_layer()
    extreme, place = ("lowest", rsa.argmin()) if rsa.argmin() != run.place else ("highest", rsa.argmax())
    other = run.numbers[place]
    found = [("Put the words into another sentence.", "'prompt.template=\"I looked at the {word}\"'")]
    if settings["words_file"] != "params.yaml":
        found.append(("Take the words of params.yaml.", "words_file=params.yaml"))
    elif "fruit" in categories:
        found.append(("Leave out words of a category, or take others.", "'words.fruit=[pear,peach,apple,lime]'"))
    else:
        found.append(("Add a category.", "'+words.fruit=[pear,peach,apple,lime]'"))
    if settings["similarity.transform"] == "none":
        found.append(("Take away what all words share.", "similarity.transform=center"))
    if settings["model.weights"] == "pretrained" and settings["model.device_map"] == "none":
        found.insert(0, ("Compare it with the same architecture, untrained.", "model.weights=random"))
    if run.layers > 1:
        why = f"Layer {other} has the {extreme} mean RSA, {number(rsa[place])}: look at it."
        found.insert(0, (why, f"focus_layer={other}"))
    if settings["model.name"] != "gpt2-xl":
        found.append(("Take the post's model (6.4 GB, once, from the hub).", "model.name=gpt2-xl"))
    found += [(f"{key} is false: compute it.", f"{key}=true") for key in off]
    return {why: f"dvc exp run --temp -S {setting}" for why, setting in found}


def provenance(captured: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """List where the numbers come from: model, commit, digests, versions."""
    overview, layers = captured["overview"], in_short(captured["attention"]["layers"])
    weights = captured["weights"]  # in words, or the digest of each file
    if not isinstance(weights, str):
        weights = "; ".join(f"{file}, SHA-256 {digest}" for file, digest in weights.items())
    return {
        "Model": f"{captured['model']} ({overview['architecture']}, layers {layers}, "
        f"{overview['parameters']:,} parameters, {settings['model.weights']} weights)",
        "Commit": captured["revision"] or "none: a folder, not a model of the hub",
        "Weights": weights,
        "Computed in": f"{captured['dtype']} on {captured['device']}",
        "Versions": ", ".join(f"{name} {version}" for name, version in captured["versions"].items()),
    }


def _profile(name: str, title: str, measure: str, table: Arrays, names: Sequence[str], run: Results) -> dict[str, Any]:
    # Tests and intervals are always of Pearson's r.
    shown = run.inference and (measure != "rsa" or run.comparison == "pearson")
    intervals = {name: run.inference[measure, name] for name in names} if shown else {}
    return {
        "id": name,
        "title": title,
        "labels": [LABELS[name] for name in names],
        "rows": np.transpose([table[name] for name in names]).tolist(),
        "spec": profile_spec(title.split(",")[0], table, run.numbers, names, intervals),
    }


def _figure(entry: figure, run: Results, themes: Sequence[str], images: tuple[bytes, bytes]) -> dict[str, Any]:
    width, height = struct.unpack(">II", images[0][16:24])  # of the PNG's first chunk
    encoded = dict(zip(themes, (base64.b64encode(png).decode("ascii") for png in images), strict=True))
    said = {"title": entry.title(run), "caption": entry.text(run), "alternative": entry.alternative}
    return {"name": entry.name, **said, "images": encoded, "width": width, "height": height}
