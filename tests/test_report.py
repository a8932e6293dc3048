"""The report: what it says is what the tables hold, and in a real browser it can be read, pointed at and operated."""

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import InProcess, Project
from ruamel.yaml import YAML
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist
from tensor_files import write_tensors

from stages.artefacts.files import read_json, write_json
from stages.artefacts.tensors import read_record
from stages.findings.answer import ANSWERS
from stages.findings.summary import ASKED
from stages.geometry.pairs import square
from stages.pages import contents
from stages.plotting.names import FIGURES

TABLES = ("correlation", "rsa", "separability", "heads", "nulls", "controls", "inference", "robustness", "sentences")
PAIRS = {"qk": "Q–K", "qv": "Q–V", "kv": "K–V"}


class Page(HTMLParser):
    """A page, taken apart: its elements with their attributes, and its text by the element that holds it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "link", "br", "source", "path"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self) -> dict:
        """What the page's script draws."""
        return json.loads(next(text for tag, text in self.texts if tag == "script" and text.startswith("{")))

    @property
    def said(self) -> str:
        """All that is read."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("script", "style")).split())

    @property
    def captions(self) -> dict[str, str]:
        """What stands below each figure, by its file's name."""
        texts = [" ".join(text.split()) for tag, text in self.texts if tag == "figcaption"]
        return dict(zip([figure["id"] for figure in self.all("figure")], texts, strict=True))


def read_page(project: Project) -> Page:
    return Page((project.root / "plots/report.html").read_text(encoding="utf-8"))


def tables(project: Project) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(project.root / f"metrics/{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def page(tiny_template: Project) -> Page:
    return read_page(tiny_template)


def number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def test_captions_state_the_numbers_of_the_tables(page: Page, tiny_template: Project) -> None:
    table = tables(tiny_template)
    rsa, d, heads = table["rsa"], table["separability"], table["heads"]
    captions = {name.split("_")[0]: text for name, text in page.captions.items()}
    assert captions["fig1"] == "6 words make 15 pairs: 6 within a category, 9 across."
    for pair, label in PAIRS.items():
        focus = table["correlation"].loc[1, pair]
        assert f"{label} {number(focus)}" in captions["fig2"]
        assert f"{label} {number(rsa.loc[1, pair])}" in captions["fig5"]
        values = rsa[pair]
        said = f"{label} {number(values.mean())} on average, from {number(values.min())} (layer {values.idxmin()})"
        assert f"{said} to {number(values.max())} (layer {values.idxmax()})" in captions["fig6"]
        assert f"{label} {number(table['correlation'][pair].mean())} on average" in captions["fig3"]
        best = heads.loc[heads[pair].idxmax()]
        assert f"{label} {number(best[pair])} (layer {best['layer']:.0f}, head {best['head']:.0f})" in captions["fig13"]
    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    for name in "qkv":
        assert f"{name.upper()} {number(similarity[name][1].mean())}" in captions["fig4"]
        assert f"{name.upper()} {number(d.loc[1, name])}" in captions["fig7"]
        assert f"{name.upper()} {number(d[name].mean())} on average" in captions["fig8"]
    above = sum((rsa[f"{pair}_within"] > rsa[f"{pair}_across"]).sum() for pair in PAIRS)
    assert f"in {above} of 6 layers and pairs" in captions["fig9"]
    nulls = table["nulls"].set_index(["measure", "matrix_or_pair", "rung", "layer"]).sort_index()
    for pair, label in PAIRS.items():
        value, drawn = nulls.loc[("rsa", pair, "unbiased"), "value"], nulls.loc[("rsa", pair, "spectrum")]
        counts = [(value > drawn["high"]).sum(), value.between(drawn["low"], drawn["high"]).sum()]
        below = (value < drawn["low"]).sum()
        assert f"{label} {counts[0]} above, {counts[1]} inside, {below} below" in captions["fig10"]
    d_of_input = table["controls"].query("measure == 'd_of_input'")["value"]
    assert f"of the input {number(d_of_input.mean())}" in captions["fig11"]
    columns = [f"{pair}_center_pearson" for pair in PAIRS]
    assert f"centred {number(table['robustness'][columns].to_numpy().mean())}" in captions["fig12"]
    assert "Stress, 0 where the plane keeps every distance: Q " in captions["fig14"]
    means = table["sentences"].query("sentence == 'all'").groupby(["measure", "matrix_or_pair"])["value"].mean()
    for measure, name, label in (
        ("reliability", "v", "V"),
        ("rsa_across", "qk", "Q–K"),
        ("rsa_corrected", "kv", "K–V"),
    ):
        assert f"{label} {number(means[measure, name])}" in captions["fig15"]


def test_the_first_lines_answer_the_title_with_the_numbers_of_the_tables(page: Page, tiny_template: Project) -> None:
    table = tables(tiny_template)
    rsa = table["rsa"][list(PAIRS)].mean(axis=1)
    (answer,) = [text for tag, text in page.texts if text.startswith(tuple(word for _, word in ANSWERS))]
    assert f"correlate at {number(rsa.mean())} on average" in answer
    assert f"to {number(rsa.max())} in layer {rsa.idxmax()}" in answer
    ends = table["nulls"].query("measure == 'rsa' and rung == 'spectrum'")
    scores = table["nulls"].query("measure == 'rsa' and rung == 'unbiased'").merge(ends, on=["matrix_or_pair", "layer"])
    above, below = (scores.value_x > scores.high_y).sum(), (scores.value_x < scores.low_y).sum()
    inside = len(scores) - above - below
    assert f"Of {len(scores)} layers and pairs {above} lie above their range, {inside} inside, {below} below" in answer
    (how, mean) = re.search(r"would agree ([\w ]+): (\d\.\d\d)\.", answer).groups()
    assert mean == number(ends["value"].mean())
    counts = {"less": above, "about as much": inside, "more": below}
    assert counts[how] == max(counts.values())
    sentences = table["sentences"].query("measure == 'rsa' and sentence != 'all'").groupby("sentence")["value"].mean()
    assert f"between {number(sentences.min())} and {number(sentences.max())}." in answer
    order = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert order.index("fig6_rsa_profile") < order.index("matrices") < order.index("findings") < order.index("figures")


def test_claims_are_those_of_the_run(page: Page, tiny_template: Project) -> None:
    claims = json.loads((tiny_template.root / "metrics/claims.json").read_text(encoding="utf-8"))
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
        np.testing.assert_array_equal(shown["values"][name], similarity[name].round(6))
        assert shown["limits"][name] == [similarity[name].min().round(6), similarity[name].max().round(6)]


def test_the_map_is_that_of_the_similarities(page: Page, tiny_template: Project) -> None:
    """In the plane, distances are near those of the words: as stress says, and the same words are near."""
    similarity, shown = load_file(tiny_template.root / "data/similarity.safetensors"), page.data["map"]
    for name in "qkv":
        for layer in range(2):
            words = np.sqrt(2 * (1 - similarity[name][layer]))
            plane = pdist(shown["points"][name][layer])
            scale = np.square(words).sum() / (words @ plane)
            stress = np.sqrt(np.square(scale * plane - words).sum() / np.square(scale * plane).sum())
            assert shown["stress"][name][layer] == pytest.approx(stress, abs=0.02)
    assert sorted(shown["clustered"]) == list(range(6))


def test_long_word_lists_are_sampled_and_the_page_says_so() -> None:
    words = [f"word{n}" for n in range(1000)]
    categories = ["a"] * 700 + ["b"] * 300
    values = np.random.default_rng(0).uniform(-1, 1, 1000 * 999 // 2)
    data = contents.matrices(lambda name, layer: values, 48, words, categories)
    assert len(data["words"]) == contents.MOST_WORDS
    assert [block["end"] - block["start"] for block in data["blocks"]] == pytest.approx([70, 30], abs=1)
    assert len(json.dumps(data, separators=(",", ":"))) < 8e6
    places = [int(word.removeprefix("word")) for word in data["words"]]
    expected = square(values, 1.0)[np.ix_(places, places)][np.triu_indices(len(places), 1)]
    np.testing.assert_array_equal(data["values"]["k"][47], expected.round(6))
    assert contents.chosen_words(34) == list(range(34))


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert {key for key, _ in [*page.elements]} & {"link", "iframe", "object"} == set()
    loaded = [attributes[key] for _, attributes in page.elements for key in ("src", "srcset") if key in attributes]
    assert loaded
    assert all(source.startswith("data:image/png;base64,") for source in loaded)
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert "default-src 'none'" in page.all("meta")[2]["content"]


def test_images_headings_labels_and_ids(page: Page) -> None:
    assert list(page.captions) == ["fig6_rsa_profile", *(name for name in FIGURES if name != "fig6_rsa_profile")]
    assert len(page.all("img")) == len(FIGURES)
    alternatives = [attributes["alt"] for attributes in page.all("img")]
    assert all(len(text) > 30 for text in alternatives)
    assert len(set(alternatives)) == len(FIGURES)
    others = page.all("source")
    assert {source["media"] for source in others} == {"(prefers-color-scheme: light)"}
    assert len({source["srcset"] for source in others} | {image["src"] for image in page.all("img")}) == 2 * len(
        FIGURES
    )
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["for"] for attributes in page.all("label")} <= set(ids)
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)
    fields = [a["id"] for tag, a in page.elements if tag in ("input", "select")]
    assert set(fields) == {attributes["for"] for attributes in page.all("label")}


def test_provenance_settings_and_what_to_change_next(page: Page, tiny_template: Project) -> None:
    captured = json.loads((tiny_template.root / "data/capture.json").read_text(encoding="utf-8"))
    for said in (captured["model"], captured["weights"], captured["versions"]["torch"], "dvc exp run -S"):
        assert said in page.said
    params = YAML(typ="safe").load((tiny_template.root / "params.yaml").read_text(encoding="utf-8"))
    for section, entries in params.items():
        for key in entries if isinstance(entries, dict) and section != "words" else [None]:
            assert (f" {section}.{key} " if key else f" {section} ") in page.said
    for command in re.findall(r"dvc exp run -S ([a-z_.]+)=", page.said):
        section, *key = command.split(".")
        assert section in params
        assert not key or key[0] in params[section]


def test_the_same_bytes_every_time(tiny_stage: InProcess) -> None:
    before = tiny_stage.project.outputs()
    for stage in ("vega", "report", "matrices"):
        assert tiny_stage.run(stage)[0] == 0
    assert tiny_stage.project.outputs() == before


def test_stages_that_are_switched_off_are_named(undrawn: Project) -> None:
    undrawn.set(
        inference__enabled=False,
        nulls__enabled=False,
        controls__enabled=False,
        heads__enabled=False,
        sentences__enabled=False,
    )
    assert undrawn.repro()[-1] == "report"
    page = read_page(undrawn)
    for setting in ("inference", "nulls", "controls", "heads", "sentences"):
        assert f"Not computed: {setting}.enabled is false" in page.said
        assert f"dvc exp run -S {setting}.enabled=true" in page.said
    for name, setting in {
        "fig10_ladder": "nulls",
        "fig11_controls": "controls",
        "fig12_robustness": "controls",
        "fig13_heads": "heads",
        "fig15_sentences": "sentences",
    }.items():
        assert page.captions[name] == f"Not computed: {setting}.enabled is false."
    assert "intervals" not in page.said.split("Over layers", 2)[-1].split("Figures", 1)[0]
    assert "low" not in page.data["profiles"]["profile-rsa"]["data"]["values"][0]


NASTY = ["</script><script>alert(1)</script>", "<b>bold</b>", "a\"b'c", "&amp;", "{{ 7*7 }}", "“tick` ${x}"]


def make_nasty(project: Project) -> None:
    """Put words that are markup where the report reads words."""
    path = project.root / "data/similarity.safetensors"
    record = {**read_record(path), "words": NASTY, "categories": ["<i>x"] * 3 + ["y&z"] * 3}
    tensors = load_file(path)
    path.unlink()  # not through a link into DVC's cache
    write_tensors(path, tensors, record, np.float64)
    captured = project.root / "data/capture.json"
    content = {**read_json(captured), "words": NASTY, "categories": record["categories"]}
    captured.unlink()
    write_json(captured, content)


def test_words_that_are_markup_stay_words(tiny_stage: InProcess) -> None:
    make_nasty(tiny_stage.project)
    assert tiny_stage.run("report")[0] == 0
    page = read_page(tiny_stage.project)
    assert len(page.all("script")) == 3
    assert not page.all("b") or all(text != "bold" for tag, text in page.texts if tag == "b")
    assert page.data["similarity"]["words"] == NASTY
    assert ", ".join(NASTY[:3]) in page.said
    assert [text for tag, text in page.texts if tag == "option"][: len(NASTY)] == NASTY


def test_matrices_are_numbered_images_of_every_layer(tiny_template: Project) -> None:
    folder = tiny_template.root / "plots/matrices"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert files == [f"{name}/{layer:02}.png" for name in "kqv" for layer in range(2)]


# In a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver on this machine (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


def show(browser, path: Path, width: int = 1200, scheme: str = "light", ready: str = "") -> None:
    """Open a page and wait until it is drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(path.as_uri())
    drawn = ready or "return document.documentElement.dataset.drawn !== undefined"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(drawn))


def is_quiet(browser) -> None:
    """Check that nothing was logged and nothing asked of a network."""
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def pixels(browser, name: str) -> str:
    return browser.execute_script(f"return document.querySelector('#matrix-{name} canvas').toDataURL()")


def text(browser, name: str) -> str:
    return browser.find_element("id", name).text


def cell(browser, name: str, row: int, column: int, words: int) -> tuple:
    """Give the canvas of a matrix and where a cell is, from its centre."""
    canvas = browser.find_element("css selector", f"#matrix-{name} canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    x, y, size = browser.execute_script(
        f"""const holder = document.getElementById('matrix-{name}');
        const size = Math.floor((holder.clientWidth - 30) / {words}) * {words};
        const [x, y] = document.getElementById('matrix-{name}').view.origin();
        return [x, y, size]"""
    )
    middle = [x + size * (column + 0.5) / words, y + size * (row + 0.5) / words]
    return canvas, round(middle[0] - canvas.size["width"] / 2), round(middle[1] - canvas.size["height"] / 2)


@pytest.fixture
def report(tiny_template: Project) -> Path:
    return tiny_template.root / "plots/report.html"


def test_the_slider_changes_the_matrices(browser, report: Path, tiny_template: Project) -> None:
    from selenium.webdriver.common.keys import Keys

    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    show(browser, report)
    before = {name: pixels(browser, name) for name in "qkv"}
    slider = browser.find_element("id", "layer")
    assert slider.get_attribute("type") == "range"
    assert text(browser, "layer-number") == "1"
    assert text(browser, "pair-v") == f"{similarity['v'][1][0]:.6f}".replace("-", "−")
    slider.send_keys(Keys.ARROW_LEFT)
    assert text(browser, "layer-number") == "0"
    assert slider.get_attribute("aria-valuetext") == "layer 0"
    assert text(browser, "pair-v") == f"{similarity['v'][0][0]:.6f}".replace("-", "−")
    assert text(browser, "layer-scores").startswith("Layer 0: RSA ")
    assert all(pixels(browser, name) != before[name] for name in "qkv")
    browser.find_element("id", "colours").send_keys("each")
    after = pixels(browser, "q")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert pixels(browser, "q") != after
    is_quiet(browser)


def test_pointing_at_a_cell_names_the_words_and_the_value(browser, report: Path, tiny_template: Project) -> None:
    from selenium.webdriver import ActionChains

    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    show(browser, report)
    for name, row, column in (("q", 1, 4), ("v", 5, 2), ("k", 3, 3)):
        canvas, x, y = cell(browser, name, row, column, 6)
        ActionChains(browser).move_to_element_with_offset(canvas, x, y).perform()
        tip = browser.find_element("id", "vg-tooltip-element").text
        value = f"{square(similarity[name][1], 1.0)[row, column]:.6f}".replace("-", "−")
        words = ["galaxy", "moon", "star", "pear", "apple", "lime"]
        assert f"{words[row]} – {words[column]}" in tip
        assert value in tip
        assert f"{words[row]} – {words[column]}" in text(browser, "pair-words")
        assert text(browser, f"pair-{name}") == value
    is_quiet(browser)


def chosen(browser, name: str) -> set[str]:
    """Return the words that a map marks."""
    return set(
        browser.execute_script(
            f"return [...document.querySelectorAll('#map-{name} .chosen text')].map(t => t.textContent)"
        )
    )


def place(browser, name: str, word: str) -> str:
    """Return where a word is on its way to."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].find(g => g.textContent === arguments[1]).style.transform"
    )
    return browser.execute_script(script, f"#map-{name} .word", word)


def test_the_map_moves_with_the_slider_and_names_a_word_in_all_three(browser, report: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    show(browser, report)
    style = "return getComputedStyle(document.querySelector('.word')).transitionDuration"
    assert browser.execute_script(style) == "0.7s"
    browser.find_element("id", "order").send_keys("alike")  # names the focus layer
    before = {name: place(browser, name, "moon") for name in "qkv"}
    nearest = browser.find_element("id", "nearest").get_attribute("textContent")
    browser.find_element("id", "layer").send_keys(Keys.ARROW_LEFT)
    assert all(place(browser, name, "moon") != before[name] for name in "qkv")
    assert browser.find_element("id", "nearest").get_attribute("textContent") != nearest
    for name, word in (("q", "pear"), ("v", "star")):
        holder = browser.find_element("id", f"map-{name}")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", holder)
        x, y = (float(part) for part in re.findall(r"[-\d.]+(?=px)", place(browser, name, word)))
        scale = holder.size["width"] / 320
        ActionChains(browser).move_to_element_with_offset(
            holder, round((x - 160) * scale), round((y - 160) * scale)
        ).perform()
        assert text(browser, "pair-words").startswith(f"{word} – ")
        assert all(word in chosen(browser, other) for other in "qkv")
    is_quiet(browser)


def test_no_name_on_the_map_covers_another(browser, report: Path) -> None:
    overlaps = """return [...document.querySelectorAll('.map')].flatMap(map => {
        const boxes = [...map.querySelectorAll('text')].filter(t => getComputedStyle(t).visibility === 'visible')
            .map(t => t.getBoundingClientRect());
        return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
            Math.min(a.right, b.right) > Math.max(a.left, b.left)
            && Math.min(a.bottom, b.bottom) - 3 > Math.max(a.top, b.top)));
    }).length"""
    choose = """for (const [id, value] of Object.entries(arguments[0])) {
        const control = document.getElementById(id);
        control.value = value;
        control.dispatchEvent(new Event(id === 'layer' ? 'input' : 'change'));
    }"""
    show(browser, report)
    browser.execute_script("document.querySelectorAll('.map').forEach(map => map.classList.remove('moving'))")
    for layer, (a, b) in product(range(2), combinations(range(6), 2)):
        browser.execute_script(choose, {"layer": layer, "word-a": a, "word-b": b})
        assert browser.execute_script(overlaps) == 0, (layer, a, b)
        assert all(len(chosen(browser, name)) == 2 for name in "qkv")


def test_motion_is_left_out_where_the_reader_wants_none(browser, report: Path) -> None:
    show(browser, report)
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    style = "return getComputedStyle(document.querySelector('.word')).transitionDuration"
    assert browser.execute_script(style) in ("0s", "")


def test_alike_together_shows_the_same_pairs_in_another_order(browser, report: Path, tiny_template: Project) -> None:
    from selenium.webdriver import ActionChains

    show(browser, report)
    drawn = browser.execute_script("return document.documentElement.dataset.drawn")
    before = pixels(browser, "q")
    browser.find_element("id", "order").send_keys("alike")
    waited = f"return document.documentElement.dataset.drawn !== '{drawn}'"
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 30).until(lambda b: b.execute_script(waited))
    assert pixels(browser, "q") != before
    order = read_page(tiny_template).data["map"]["clustered"]
    words = ["galaxy", "moon", "star", "pear", "apple", "lime"]
    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    canvas, x, y = cell(browser, "k", 1, 4, 6)
    ActionChains(browser).move_to_element_with_offset(canvas, x, y).perform()
    assert text(browser, "pair-words").startswith(f"{words[order[1]]} – {words[order[4]]}")
    value = f"{square(similarity['k'][1], 1.0)[order[1], order[4]]:.6f}".replace("-", "−")
    assert text(browser, "pair-k") == value
    is_quiet(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_are_in_the_readers_theme(browser, report: Path, scheme: str) -> None:
    show(browser, report, scheme=scheme)
    corner = browser.execute_script(
        """const image = document.querySelector('#fig6_rsa_profile img'), canvas = document.createElement('canvas');
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return [...context.getImageData(1, 1, 1, 1).data.slice(0, 3)]"""
    )
    assert corner == {"light": [255, 255, 255], "dark": [40, 42, 44]}[scheme]


def test_pointing_at_the_profile_gives_its_values(browser, report: Path, tiny_template: Project) -> None:
    from selenium.webdriver import ActionChains

    rsa = tables(tiny_template)["rsa"]
    show(browser, report)
    canvas = browser.find_element("css selector", "#profile-rsa canvas")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(browser).move_to_element_with_offset(canvas, canvas.size["width"] // 2 - 60, 0).perform()
    tip = browser.find_element("id", "vg-tooltip-element").text
    for pair, label in PAIRS.items():
        assert re.search(rf"{label}\W+{rsa.loc[1, pair]:.3f}".replace("-0", "−0"), tip), tip
    is_quiet(browser)


def test_by_keyboard(browser, report: Path, tiny_template: Project) -> None:
    """Everything that can be pointed at is reached with Tab, shows where the focus is, and can be operated."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    similarity = load_file(tiny_template.root / "data/similarity.safetensors")
    show(browser, report)
    reached = []
    for _ in range(60):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        here = browser.switch_to.active_element
        style = "return getComputedStyle(arguments[0]).outlineStyle"
        assert here.tag_name == "body" or browser.execute_script(style, here) != "none"
        reached.append(here.get_attribute("id") or here.tag_name)
        if reached[-1] == "layer":
            here.send_keys(Keys.HOME)
        if reached[-1] == "word-b":
            here.send_keys("lime")
    assert {"layer", "word-a", "word-b", "colours", "order", "summary", "a"} <= set(reached)
    assert "galaxy – lime" in text(browser, "pair-words")
    value = square(similarity["k"][0], 1.0)[0, 5]
    assert text(browser, "pair-k") == f"{value:.6f}".replace("-", "−")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_and_in_dark_and_light(browser, report: Path, scheme: str) -> None:
    show(browser, report, 360, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    lead = browser.find_element("css selector", "header figure .wide")
    assert browser.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", lead)  # seen whole
    back, ink = browser.execute_script("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
    assert contrast(back, ink) >= 7
    for selector in (".yes", ".no", ".quiet", "a", "figcaption"):
        style = f"return getComputedStyle(document.querySelector('{selector}')).color"
        assert contrast(back, browser.execute_script(style)) >= 4.5, selector
    drawn = browser.execute_script(
        """const canvas = document.querySelector('#profile-rsa canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) seen.add(data.slice(i, i + 3).join());
        return [...seen]"""
    )
    axis_text = {"light": "31,35,40", "dark": "221,226,244"}[scheme]
    assert axis_text in drawn
    is_quiet(browser)


def contrast(one: str, other: str) -> float:
    """The WCAG contrast of two CSS colours."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_words_that_are_markup_are_shown_as_they_are(browser, tiny_stage: InProcess) -> None:
    make_nasty(tiny_stage.project)
    assert tiny_stage.run("report")[0] == 0
    show(browser, tiny_stage.project.root / "plots/report.html")
    assert text(browser, "pair-words").startswith(f"{NASTY[0]} – {NASTY[1]} (both <i>x)")
    is_quiet(browser)


DRAWN = "return document.querySelectorAll('canvas, svg.marks').length === 5"


def test_the_page_of_dvc_plots_works_offline(browser, tiny: Project) -> None:
    from selenium.webdriver.common.keys import Keys

    tiny.dvc("plots", "show")
    show(browser, tiny.root / "dvc_plots/index.html", ready=DRAWN)
    blank = """return [...document.querySelectorAll('canvas')].filter(canvas =>
        !canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value)).length"""
    assert browser.execute_script(blank) == 0
    images = browser.find_elements("tag name", "img")
    assert len(images) == len(FIGURES) + 6
    assert all(browser.execute_script("return arguments[0].naturalWidth", image) > 100 for image in images)
    assert all(image.get_attribute("alt") for image in images)
    matrices = [image for image in images if "plots/matrices" in image.get_attribute("alt")]
    assert [image.is_displayed() for image in matrices] == [True, False] * 3
    slider = browser.find_element("css selector", "fieldset input[type=range]")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert [image.is_displayed() for image in matrices] == [False, True, True, False, True, False]
    is_quiet(browser)


def test_the_page_of_dvc_plots_says_what_it_lacks(browser, tiny: Project) -> None:
    (tiny.root / "plots/vega.js").unlink()
    tiny.dvc("plots", "show")
    show(browser, tiny.root / "dvc_plots/index.html", ready="return document.readyState === 'complete'")
    assert "run `dvc repro vega`" in browser.find_element("id", "RSA_scores").text
    assert len(browser.find_elements("tag name", "img")) == len(FIGURES) + 6
