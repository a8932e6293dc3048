"""The report in a real browser: it can be read, pointed at and operated."""

import json
import re
import shutil
from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from conftest import InProcess, Project
from report_page import NASTY, read_page, report_on_nasty_words
from safetensors.numpy import load_file
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from stages.geometry.names import LABELS, PAIRS
from stages.geometry.pairs import square

WORDS = ["galaxy", "moon", "star", "pear", "apple", "lime"]


@pytest.fixture(scope="module")
def chrome() -> Iterator:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver on this machine (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as running:
        yield running


def show(browser, url: str, width: int = 1200, scheme: str = "light") -> None:
    """Open a page and wait until it is drawn."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(url)
    drawn = "return document.documentElement.dataset.drawn !== undefined"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(drawn))


@pytest.fixture
def browser(chrome, tiny_template: Project) -> Iterator:
    """Show the report; at the end nothing may have been logged or asked of a network."""
    show(chrome, (tiny_template.root / "plots/report.html").as_uri())
    yield chrome
    assert [entry["message"] for entry in chrome.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def pixels(browser, name: str) -> str:
    return browser.execute_script(f"return document.querySelector('#matrix-{name} canvas').toDataURL()")


def text(browser, name: str) -> str:
    return browser.find_element("id", name).text


def point(browser, selector: str, x: float, y: float) -> None:
    """Point at a place of an element, from its upper left corner."""
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    offset = round(x - element.size["width"] / 2), round(y - element.size["height"] / 2)
    ActionChains(browser).move_to_element_with_offset(element, *offset).perform()


def point_at_cell(browser, name: str, row: int, column: int) -> None:
    script = f"const m = document.getElementById('matrix-{name}'); return [...m.view.origin(), m.clientWidth]"
    x, y, width = browser.execute_script(script)
    size = (width - 30) // len(WORDS)
    point(browser, f"#matrix-{name} canvas", x + size * (column + 0.5), y + size * (row + 0.5))


def written(value: float) -> str:
    return f"{value:.6f}".replace("-", "−")


@pytest.fixture
def similarity(tiny_template: Project) -> dict[str, np.ndarray]:
    return load_file(tiny_template.root / "data/similarity.safetensors")


def test_the_slider_changes_the_matrices(browser, similarity: dict) -> None:
    before = {name: pixels(browser, name) for name in "qkv"}
    slider = browser.find_element("id", "layer")
    assert text(browser, "layer-number") == "1"
    assert text(browser, "pair-v") == written(similarity["v"][1][0])
    slider.send_keys(Keys.ARROW_LEFT)
    assert text(browser, "layer-number") == "0"
    assert slider.get_attribute("aria-valuetext") == "layer 0"
    assert text(browser, "pair-v") == written(similarity["v"][0][0])
    assert text(browser, "layer-scores").startswith("Layer 0: RSA ")
    assert all(pixels(browser, name) != before[name] for name in "qkv")
    browser.find_element("id", "colours").send_keys("each")
    after = pixels(browser, "q")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert pixels(browser, "q") != after


def test_pointing_at_a_cell_names_the_words_and_the_value(browser, similarity: dict) -> None:
    for name, row, column in (("q", 1, 4), ("v", 5, 2), ("k", 3, 3)):
        point_at_cell(browser, name, row, column)
        tip = browser.find_element("id", "vg-tooltip-element").text
        value = written(square(similarity[name][1], 1.0)[row, column])
        for said in (tip, text(browser, "pair-words")):
            assert f"{WORDS[row]} – {WORDS[column]}" in said
        assert value in tip
        assert text(browser, f"pair-{name}") == value


def chosen(browser, name: str) -> set[str]:
    """Return the words that a map marks."""
    return {found.text for found in browser.find_elements("css selector", f"#map-{name} .chosen text")}


def place(browser, name: str, word: str) -> str:
    """Return where a word is on its way to."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].find(g => g.textContent === arguments[1]).style.transform"
    )
    return browser.execute_script(script, f"#map-{name} .word", word)


def test_the_map_moves_with_the_slider_and_names_a_word_in_all_three(browser) -> None:
    browser.find_element("id", "order").send_keys("alike")  # names the focus layer
    before = {name: place(browser, name, "moon") for name in "qkv"}
    nearest = browser.find_element("id", "nearest").get_attribute("textContent")
    browser.find_element("id", "layer").send_keys(Keys.ARROW_LEFT)
    assert all(place(browser, name, "moon") != before[name] for name in "qkv")
    assert browser.find_element("id", "nearest").get_attribute("textContent") != nearest
    for name, word in (("q", "pear"), ("v", "star")):
        scale = browser.find_element("id", f"map-{name}").size["width"] / 320
        x, y = (scale * float(part) for part in re.findall(r"[-\d.]+(?=px)", place(browser, name, word)))
        point(browser, f"#map-{name}", x, y)
        assert text(browser, "pair-words").startswith(f"{word} – ")
        assert all(word in chosen(browser, other) for other in "qkv")


def test_no_name_on_the_map_covers_another(browser) -> None:
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
    browser.execute_script("document.querySelectorAll('.map').forEach(map => map.classList.remove('moving'))")
    for layer, (a, b) in product(range(2), combinations(range(6), 2)):
        browser.execute_script(choose, {"layer": layer, "word-a": a, "word-b": b})
        assert browser.execute_script(overlaps) == 0, (layer, a, b)
        assert all(len(chosen(browser, name)) == 2 for name in "qkv")


def test_motion_is_left_out_where_the_reader_wants_none(browser) -> None:
    style = "return getComputedStyle(document.querySelector('.word')).transitionDuration"
    for value, durations in (("no-preference", ["0.7s"]), ("reduce", ["0s", ""])):
        features = [{"name": "prefers-reduced-motion", "value": value}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert browser.execute_script(style) in durations


def test_alike_together_reorders_the_same_pairs(browser, similarity: dict, tiny_template: Project) -> None:
    drawn = browser.execute_script("return document.documentElement.dataset.drawn")
    before = pixels(browser, "q")
    browser.find_element("id", "order").send_keys("alike")
    waited = f"return document.documentElement.dataset.drawn !== '{drawn}'"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(waited))
    assert pixels(browser, "q") != before
    order = read_page(tiny_template).data["map"]["clustered"]
    point_at_cell(browser, "k", 1, 4)
    assert text(browser, "pair-words").startswith(f"{WORDS[order[1]]} – {WORDS[order[4]]}")
    assert text(browser, "pair-k") == written(square(similarity["k"][1], 1.0)[order[1], order[4]])


def test_pointing_at_the_profile_gives_its_values(browser, tiny_template: Project) -> None:
    rsa = pd.read_csv(tiny_template.root / "metrics/rsa.csv")
    size = browser.find_element("css selector", "#profile-rsa canvas").size
    point(browser, "#profile-rsa canvas", size["width"] - 60, size["height"] / 2)
    tip = browser.find_element("id", "vg-tooltip-element").text
    for pair in PAIRS:
        assert re.search(rf"{LABELS[pair]}\W+{rsa.loc[1, pair]:.3f}".replace("-0", "−0"), tip), tip


def test_by_keyboard(browser, similarity: dict) -> None:
    """Everything that can be pointed at is reached with Tab, shows where the focus is, and can be operated."""
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
    assert text(browser, "pair-k") == written(square(similarity["k"][0], 1.0)[0, 5])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_and_in_dark_and_light(browser, scheme: str) -> None:
    show(browser, browser.current_url, 360, scheme)
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
    assert {"light": "31,35,40", "dark": "221,226,244"}[scheme] in drawn  # the axes' text
    corner = browser.execute_script(
        """const images = [...document.querySelectorAll('#fig0_paradox img')];
        const image = images.find(one => one.offsetParent), canvas = document.createElement('canvas');
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return [...context.getImageData(1, 1, 1, 1).data.slice(0, 3)]"""
    )
    theme = {"light": [255, 255, 255], "dark": [40, 42, 44]}[scheme]  # figures are in the reader's, but for a palette
    np.testing.assert_allclose(corner, theme, atol=2)


def contrast(one: str, other: str) -> float:
    """The WCAG contrast of two CSS colours."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_words_that_are_markup_are_shown_as_they_are(browser, tiny_stage: InProcess) -> None:
    report_on_nasty_words(tiny_stage)
    show(browser, (tiny_stage.project.root / "plots/report.html").as_uri())
    assert text(browser, "pair-words").startswith(f"{NASTY[0]} – {NASTY[1]} (both <i>x)")
