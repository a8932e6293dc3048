"""The report: what it says is what the tables hold."""

import json
import re
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from conftest import InProcess, Project
from report_page import NASTY, Page, read_page, report_on_nasty_words, unpacked
from safetensors.numpy import load_file

from stages.artefacts.files import read_json, write_json
from stages.artefacts.schema import TABLES
from stages.artefacts.tables import read_reason
from stages.findings.answer import ANSWERS
from stages.findings.summary import ASKED
from stages.geometry.names import LABELS, PAIRS
from stages.geometry.pairs import square
from stages.geometry.scaling import stress
from stages.pages import charts
from stages.plotting.registry import figures

FIGURES = tuple(figures())


def tables(project: Project) -> dict[str, pd.DataFrame]:
    found = (project.root / "metrics").glob("*.csv")
    return {path.stem: pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in found}


@pytest.fixture(scope="module")
def page(tiny_template: Project) -> Page:
    return read_page(tiny_template)


def number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{LABELS[name]} {number(value)}" for name, value in values.items())


def test_captions_state_the_numbers_of_the_tables(page: Page, tiny_template: Project) -> None:
    table = tables(tiny_template)
    r, rsa, d = (table[name] for name in ("correlation", "rsa", "separability"))
    heads = table["heads"].query("measure == 'rsa'")
    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    captions = {name.split("_")[0]: text for name, text in page.captions.items()}
    assert captions["fig1"] == "6 words make 15 pairs: 6 within a category, 9 across."
    assert listed(r.loc[1, [*PAIRS]]) in captions["fig2"]
    assert listed({name: similarity[name][1].mean() for name in "qkv"}) in captions["fig4"]
    assert listed(rsa.loc[1, [*PAIRS]]) in captions["fig5"]
    assert listed(d.loc[1, [*"qkv"]]) in captions["fig7"]
    for figure, scores in (("fig3", r[[*PAIRS]]), ("fig6", rsa[[*PAIRS]]), ("fig8", d[[*"qkv"]])):
        for name, values in scores.items():
            low, high = (f"{number(values[layer])} (layer {layer})" for layer in (values.idxmin(), values.idxmax()))
            assert f"{LABELS[name]} {number(values.mean())} on average, from {low} to {high}" in captions[figure]
    for pair in PAIRS:
        best = heads.loc[heads["value"].where(heads["of"] == pair).idxmax()]
        where = f"(layer {best['layer']:.0f}, head {best['head']:.0f})"
        assert f"{LABELS[pair]} {number(best['value'])} {where}" in captions["fig13"]
    above = sum((rsa[f"{pair}_within"] > rsa[f"{pair}_across"]).sum() for pair in PAIRS)
    assert f"in {above} of 6 layers and pairs" in captions["fig9"]
    verdicts = table["verdicts"].set_index(["measure", "of", "rung", "transform"]).sort_index()
    for pair in PAIRS:
        counts = verdicts.loc["rsa", pair, "spectrum", "every"]
        for name in ("fig10", "fig12"):
            assert f"{LABELS[pair]} {counts.above} above, {counts.inside} among, {counts.below} below" in captions[name]
    d_of_input = table["controls"].query("measure == 'd_of_input'")["value"]
    assert f"of the input {number(d_of_input.mean())}" in captions["fig11"]
    centred = table["robustness"].query("transform == 'center' and measure == 'rsa'")["value"]
    assert f"centred {number(centred.mean())}" in captions["fig12"]
    assert "Stress, 0 where the plane keeps every distance: Q " in captions["fig14"]
    means = table["sentences"].query("sentence == 'all'").groupby(["measure", "of"], sort=False)["value"].mean()
    for measure in ("reliability", "rsa", "rsa_across", "rsa_corrected"):
        assert listed(means[measure].dropna()) in captions["fig15"]


def test_the_first_lines_answer_the_title_with_the_numbers_of_the_tables(page: Page, tiny_template: Project) -> None:
    table = tables(tiny_template)
    rsa = table["rsa"][list(PAIRS)].mean(axis=1)
    (answer,) = [text for tag, text in page.texts if text.startswith(tuple(word for _, word in ANSWERS))]
    assert f"correlate at {number(rsa.mean())} on average" in answer
    assert f"to {number(rsa.max())} in layer {rsa.idxmax()}" in answer
    raw = "measure == 'rsa' and rung == 'spectrum' and transform == 'none' and comparison == 'pearson'"
    assert f"agree at {number(table['nulls'].query(raw)['value'].mean())}." in answer
    verdict = table["verdicts"].query("measure == 'rsa' and of == 'every' and rung == 'spectrum'").iloc[-1]
    assert f"{verdict.above or 'none'} of 6 scores lie above them, {verdict.below or 'none'} below" in answer
    others = table["sentences"].query("measure == 'rsa' and sentence not in ('all', 'prompt')")
    sentences = others.groupby("sentence")["value"].mean()
    assert f"between {number(sentences.min())} and {number(sentences.max())}." in answer
    order = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert order.index("fig0_paradox") < order.index("matrices") < order.index("findings") < order.index("figures")


def test_claims_are_those_of_the_run(page: Page, tiny_template: Project) -> None:
    claims = read_json(tiny_template.root / "metrics/claims.json")
    rows = [attributes["id"] for attributes in page.all("tr") if "id" in attributes]
    assert rows == [f"claim-{name}" for name in claims]
    for name, claim in claims.items():
        assert ASKED[name].finding in page.said
        assert ASKED[name].rule.replace("-", "−") in page.said
        assert claim["post"] in page.said
    assert page.said.count(" yes ") >= sum(claim["holds"] is True for claim in claims.values())


def test_the_matrices_are_those_of_the_file(page: Page, tiny_template: Project) -> None:
    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    shown = page.data["similarity"]
    assert shown["words"] == ["galaxy", "moon", "star", "pear", "apple", "lime"]
    for name in "qkv":
        np.testing.assert_allclose(shown["values"][name], similarity[name].round(6), atol=1e-7)
        assert shown["limits"][name] == [similarity[name].min().round(6), similarity[name].max().round(6)]


def test_the_map_is_that_of_the_similarities(page: Page, tiny_template: Project) -> None:
    """In the plane, distances are near those of the words: as stress says, and the same words are near."""
    similarity, shown = load_file(tiny_template.root / "data/similarity.safetensors"), page.data["map"]
    for name in "qkv":
        for layer in range(2):
            words = np.sqrt(2 * (1 - similarity[name][layer]))
            found = stress(np.array(shown["points"][name][layer]), words)
            assert shown["stress"][name][layer] == pytest.approx(found, abs=0.02)
    assert sorted(shown["clustered"]) == list(range(6))


def test_long_word_lists_are_sampled_and_the_page_says_so() -> None:
    words = [f"word{n}" for n in range(1000)]
    categories = ["a"] * 700 + ["b"] * 300
    values = np.random.default_rng(0).uniform(-1, 1, 1000 * 999 // 2)
    data, _ = charts.layer_by_layer(dict.fromkeys("qkv", [values] * 48), words, categories, "cosine", 0)
    assert len(data["words"]) == charts.MOST_WORDS
    assert data["categories"].count("a") == pytest.approx(70, abs=1)
    assert len(json.dumps(data, separators=(",", ":"))) < 4e6
    places = [int(word.removeprefix("word")) for word in data["words"]]
    expected = square(values, 1.0)[np.ix_(places, places)][np.triu_indices(len(places), 1)]
    np.testing.assert_allclose(unpacked(data["values"], 48)["k"][47], expected.round(6), atol=1e-7)


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert {key for key, _ in [*page.elements]} & {"link", "iframe", "object"} == set()
    loaded = [attributes[key] for _, attributes in page.elements for key in ("src", "srcset") if key in attributes]
    assert loaded
    assert all(source.startswith("data:image/png;base64,") for source in loaded)
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert "default-src 'none'" in page.all("meta")[2]["content"]


def test_images_headings_labels_and_ids(page: Page) -> None:
    assert tuple(page.captions) == FIGURES
    alternatives = [attributes["alt"] for attributes in page.all("img")]
    assert all(len(text) > 30 for text in alternatives)
    assert len(set(alternatives)) == len(FIGURES)
    for theme in ("dark", "light"):
        assert len({image["src"] for image in page.all("img") if image["class"] == theme}) == len(FIGURES)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert [place for place, level in enumerate(levels) if level == 1] == [0]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)
    fields = [a["id"] for tag, a in page.elements if tag in ("input", "select")]
    assert set(fields) == {attributes["for"] for attributes in page.all("label")}


def test_provenance_settings_and_what_to_change_next(page: Page, tiny_template: Project) -> None:
    captured = read_json(tiny_template.root / "data/capture.json")
    for said in (captured["model"], captured["weights"], captured["versions"]["torch"], "dvc exp run --temp -S"):
        assert said in page.said
    params = tiny_template.params
    for section, entries in params.items():
        for key in entries if isinstance(entries, dict) and section != "words" else [None]:
            assert (f" {section}.{key} " if key else f" {section} ") in page.said
    for command in re.findall(r"dvc exp run --temp -S ([a-z_.]+)=", page.said):
        section, *key = command.split(".")
        assert section in params
        assert not key or key[0] in params[section]


def test_stages_that_are_switched_off_are_named(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    """In log, tables and report."""
    draw_only()
    sections = ("inference", "nulls", "controls", "heads", "sentences", "rdms")
    tiny_stage.project.set(**{f"{section}__enabled": False for section in sections})
    log = tiny_stage.log_of("check", *sections, "claims", "figures", "report")
    for name, table in TABLES.items():
        if table.switch:
            assert f"{name}: {table.switch} is false" in log
            assert read_reason(tiny_stage.project.root / "metrics" / name) == f"{table.switch} is false"
    page = read_page(tiny_stage.project)
    for setting in sections:
        assert f"Not computed: {setting}.enabled is false" in page.said
        assert f"dvc exp run --temp -S {setting}.enabled=true" in page.said
    entries = {name: entry.table for name, entry in figures().items() if entry.table}
    assert len(entries) == 6
    for name, table in entries.items():
        assert page.captions[name] == f"Not computed: {table}.enabled is false."
    assert "intervals" not in page.said.split("Over layers", 2)[-1].split("Figures", 1)[0]
    assert "low" not in page.data["profiles"]["profile-rsa"]["data"]["values"][0]


def test_words_that_are_markup_stay_words(tiny_stage: InProcess) -> None:
    page = report_on_nasty_words(tiny_stage)
    assert len(page.all("script")) == 3
    assert not page.all("b") or all(text != "bold" for tag, text in page.texts if tag == "b")
    assert page.data["similarity"]["words"] == NASTY
    assert ", ".join(NASTY[:3]) in page.said
    assert [text for tag, text in page.texts if tag == "option"][: len(NASTY)] == NASTY


@pytest.mark.parametrize(("name", "said"), [("C:\\models\\tiny\\", "tiny"), ("gpt2-xl", "gpt2-xl"), ("/", "/")])
def test_the_title_names_the_model(tiny_stage: InProcess, name: str, said: str) -> None:
    captured = tiny_stage.project.root / "data/capture.json"
    content = {**read_json(captured), "model": name}
    captured.unlink()
    write_json(captured, content)
    tiny_stage.log_of("report")
    assert f"Q, K and V of {said}" in [text for tag, text in read_page(tiny_stage.project).texts if tag == "title"]


def test_dvc_plots_shows_every_figure_and_matrix(tiny: Project) -> None:
    tiny.dvc("plots", "show")
    page = Page((tiny.root / "dvc_plots/index.html").read_text(encoding="utf-8"))
    shown = [(tiny.root / "dvc_plots" / image["src"]).read_bytes() for image in page.all("img")]
    assert len(shown) == len(FIGURES) + 6
    assert (tiny.root / "plots/figures/fig1_masks.png").read_bytes() in shown
