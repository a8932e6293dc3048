"""The same words in several sentences: statistics against plain loops and planted answers, and the stages."""

from collections.abc import Mapping
from itertools import combinations, product

import numpy as np
import oracle
import pytest
from conftest import InProcess, Project
from safetensors.numpy import load_file
from scipy.special import stdtrit

from stages.artefacts.files import Tensors
from stages.artefacts.results import Results
from stages.artefacts.tables import read_table
from stages.findings.answer import answer
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.pairs import condense, within_category
from stages.geometry.reliability import reliability
from stages.geometry.similarity import cosine
from stages.pipeline.schema import ALL_SENTENCES, OWN_SENTENCE
from stages.statistics.bootstrap import resample_words
from stages.statistics.sentences import combine, draw, moments, resample_sentences, two_way

WORDS = ["a"] * 4 + ["b"] * 5 + ["c"] * 3


def geometries(rng: np.random.Generator, sentences: int) -> Mapping[str, np.ndarray]:
    """Make similarities whose words, sentences and words in a sentence all matter, and matrices that share some."""
    words, kinds = len(WORDS), np.unique(WORDS, return_inverse=True)[1]
    meaning = rng.normal(size=(words, 20)) + 0.7 * rng.normal(size=(3, 20))[kinds]
    found = {}
    for name in MATRICES:
        own = meaning + 0.7 * rng.normal(size=(words, 20))
        found[name] = cosine(own + rng.normal(size=(sentences, words, 20)) + 0.3 * rng.normal(size=(sentences, 1, 20)))
    return found


def agreements(similarity: Mapping[str, np.ndarray], copies: np.ndarray) -> dict:
    """Correlate sentences one by one, some of them copies of each other, which are not compared."""
    distinct, expected = [(c, e) for c, e in product(copies, copies) if c != e], {}
    for name in MATRICES:
        r, z = np.corrcoef(similarity[name]), oracle.standardised(similarity[name])
        expected["reliability", name] = np.mean([r[pair] for pair in distinct])
        lower = [np.corrcoef(z[c], z[copies[copies != c]].mean(axis=0))[0, 1] for c in copies]
        expected["ceiling_lower", name] = np.mean(lower)
    for a, b in PAIRS:
        r = np.corrcoef(similarity[a], similarity[b])[: len(similarity[a]), len(similarity[a]) :]
        expected["rsa", a + b] = np.mean([r[c, c] for c in copies])
        expected["rsa_across", a + b] = np.mean([r[pair] for pair in distinct])
    return expected


def values_of(similarity: Mapping[str, np.ndarray], categories: list[str]) -> dict:
    """Return the statistics of all words and sentences."""
    sentences = len(similarity["q"])
    sums = moments(similarity, categories, np.ones((1, len(categories)), int))
    found = reliability(*sums, np.ones((1, sentences), int))
    return {names: value[0] for names, value in found.items()}


@pytest.mark.parametrize("sentences", [2, 5])
def test_every_statistic_is_that_of_plain_loops(sentences: int) -> None:
    similarity, within = geometries(np.random.default_rng(1), sentences), within_category(WORDS)
    expected = agreements(similarity, np.arange(sentences))
    for name, s in similarity.items():
        # Two-way analysis of variance without replication, by sums of squares.
        pairs, grand = s.shape[1], s.mean()
        rows, columns = s.mean(axis=1, keepdims=True), s.mean(axis=0, keepdims=True)
        of_pairs = sentences * np.square(columns - grand).sum() / (pairs - 1)
        of_sentences = pairs * np.square(rows - grand).sum() / (sentences - 1)
        rest = np.square(s - rows - columns + grand).sum() / ((pairs - 1) * (sentences - 1))
        parts = np.array([(of_pairs - rest) / sentences, (of_sentences - rest) / pairs, rest]).clip(0)
        for share, part in zip(("share_words", "share_sentence", "share_rest"), parts / parts.sum(), strict=True):
            expected[share, name] = part
        z = oracle.standardised(s)
        expected["ceiling_upper", name] = np.mean([np.corrcoef(row, z.mean(axis=0))[0, 1] for row in z])
        expected["d", name] = np.mean([oracle.cohens_d(values, within) for values in s])
    for a, b in PAIRS:
        attenuation = np.sqrt(expected["reliability", a] * expected["reliability", b])
        expected["rsa_corrected", a + b] = expected["rsa_across", a + b] / attenuation
    assert values_of(similarity, WORDS) == pytest.approx(expected, abs=1e-9)


def test_a_resample_of_words_and_sentences_is_that_of_copies_taken_out() -> None:
    """Counts stand for copies; pairs of a word with its copy, and of a sentence with its copy, are left out."""
    rng = np.random.default_rng(2)
    similarity = geometries(rng, 4)
    words, sentences = np.array([[2, 0, 1, 1, 3, 1, 0, 1, 0, 1, 1, 1]]), np.array([[2, 0, 1, 1]])
    found = reliability(*moments(similarity, WORDS, words), sentences)
    places = [*combinations(range(12), 2)]
    pairs = [places.index(pair) for pair in oracle.pairs_drawn(words[0])]
    kept = {name: values[:, pairs] for name, values in similarity.items()}
    expected = agreements(kept, np.repeat(np.arange(4), sentences[0]))
    assert {key: found[key][0] for key in expected} == pytest.approx(expected, abs=1e-9)


def test_what_is_planted_is_found() -> None:
    """Words of variance 1, rest of variance 1/3; V is Q, its rest included, and raised by each sentence."""
    rng = np.random.default_rng(3)
    words = rng.normal(size=120 * 119 // 2)
    other = 0.6 * words + 0.8 * rng.normal(size=len(words))
    q, k = (base + rng.normal(scale=np.sqrt(1 / 3), size=(8, len(words))) for base in (words, other))
    level = rng.normal(scale=2, size=(8, 1))
    found = values_of({"q": q, "k": k, "v": q + level}, ["a"] * 60 + ["b"] * 60)
    planted = {
        **{(measure, "q"): 0.75 for measure in ("reliability", "share_words")},
        ("share_sentence", "v"): level.var(ddof=1) / (level.var(ddof=1) + 4 / 3),
        ("rsa", "qk"): 0.75 * 0.6,
        ("rsa_corrected", "qk"): 0.6,
        ("rsa", "qv"): 1,
        ("rsa_across", "qv"): 0.75,  # what a sentence makes alike in both does not cross to others
        ("rsa_corrected", "qv"): 1,
    }
    assert {key: found[key] for key in planted} == pytest.approx(planted, abs=0.02)
    assert found["ceiling_lower", "q"] < np.sqrt(0.75) < found["ceiling_upper", "q"]


def test_intervals_hold_what_they_promise_over_words_and_sentences() -> None:
    """Words and sentences are drawn anew each time; the truth is that of very many of both."""
    rng, few, many = np.random.default_rng(6), list("abc") * 10, list("abc") * 25
    weights, directions = rng.normal(size=(3, 20, 20)) / np.sqrt(20), rng.normal(size=(3, 20))

    def world(words: list[str], sentences: int) -> Mapping[str, np.ndarray]:
        meaning = rng.normal(size=(len(words), 20)) + 0.5 * directions[np.unique(words, return_inverse=True)[1]]
        twist = 0.5 * rng.normal(size=(sentences, 20, 20)) / np.sqrt(20)  # what a sentence does to every word
        inputs = meaning + meaning @ twist + 0.5 * rng.normal(size=(sentences, len(words), 20))
        return {name: cosine(inputs @ weight) for name, weight in zip(MATRICES, weights, strict=True)}

    worlds = [values_of(world(many, 15), many) for _ in range(12)]
    asked = [("reliability", name) for name in MATRICES] + [("rsa_across", pair) for pair in PAIRS]
    truth = [np.mean([found[names] for found in worlds]) for names in asked]
    trials = [two_way(world(few, 9), few, draw(few, 9, 150, trial), 0.05) for trial in range(60)]
    value, low, high = (
        np.array([[found[(*names, ALL_SENTENCES)][end] for names in asked] for found in trials])
        for end in ("value", "low", "high")
    )
    assert ((low <= truth) & (truth <= high)).mean(axis=0).min() >= 0.9
    # Not by being wide: the standard errors are about how much the values of the trials vary.
    errors = (np.arctanh(high) - np.arctanh(low)).mean(axis=0) / 2 / stdtrit(8, 0.975)
    ratios = errors / np.arctanh(value).std(axis=0)
    assert 0.8 <= ratios.min() <= ratios.max() <= 1.6


def test_the_variance_of_three_bootstraps_is_that_of_the_mean_over_words_and_sentences() -> None:
    """Of a mean over words (in categories), sentences and their rest the variance is known."""
    rng, categories, found, of_many = np.random.default_rng(9), ["a"] * 7 + ["b"] * 5, [], []
    for _ in range(400):
        values = rng.normal(size=(12, 1)) + rng.normal(size=6) + rng.normal(size=(12, 6))
        words, sentences = resample_words(categories, 300, rng)[0] / 12, resample_sentences(6, 300, rng) / 6
        drawn = words @ values.mean(axis=1), sentences @ values.mean(axis=0), ((words @ values) * sentences).sum(axis=1)
        spreads = [of.var(ddof=1) for of in drawn]
        found.append(combine(*spreads, 12 / (12 - 2), 6 / (6 - 1)))
        of_many.append(2 * (spreads[0] + spreads[1]) - spreads[2])
    truth = 1 / 12 + 1 / 6 + 1 / 72
    assert np.mean(found) == pytest.approx(truth, rel=0.07)
    assert np.mean(of_many) < 0.9 * truth


def test_resamples_hold_two_sentences() -> None:
    rng = np.random.default_rng(7)
    counts = resample_sentences(3, 500, rng)
    assert (counts.sum(axis=1) == 3).all()
    assert ((counts > 0).sum(axis=1) >= 2).all()


# The stages.


def test_the_vectors_are_those_of_the_words_own_token(tiny_stage: InProcess) -> None:
    """In each sentence they are those that capture finds with that sentence as the prompt."""
    tiny = tiny_stage.project
    path = tiny.root / "data/sentences.safetensors"
    further, record = load_file(path), Tensors(path).record
    templates = record["templates"]
    assert dict(zip(record["names"], templates, strict=True)) == tiny.params["sentences"]["templates"]
    assert not any(name.endswith("_bias") for name in further)
    for place in (0, len(templates) - 1):
        tiny.set(prompt__template=templates[place])
        tiny_stage.log_of("check", "capture")
        own = load_file(tiny.root / "data/activations.safetensors")
        record = Tensors(tiny.root / "data/activations.safetensors").record
        position = record["positions"].index(record["word_position"])
        for name in ("attn_0_x", "attn_1_q", "attn_1_v"):
            rows = further[name].reshape(len(templates), 6, -1)[place]
            np.testing.assert_allclose(rows, own[name][:, position], atol=1e-5)


def test_the_table_holds_the_runs_own_scores(tiny_template: Project) -> None:
    table, rsa, d = (read_table(tiny_template.root / f"metrics/{n}.csv") for n in ("sentences", "rsa", "separability"))
    names = [OWN_SENTENCE, *tiny_template.params["sentences"]["templates"]]
    for pair in PAIRS:
        each = np.array([table["rsa", pair, name]["value"] for name in names])
        np.testing.assert_allclose(table["rsa", pair, ALL_SENTENCES]["value"], each.mean(axis=0), atol=2e-6)
        np.testing.assert_allclose(each[0], rsa[pair], atol=1e-6)
    for name in MATRICES:
        np.testing.assert_allclose(table["d", name, OWN_SENTENCE]["value"], d[name], atol=1e-6)
    assert {sentence for *_, sentence in table} == {*names, ALL_SENTENCES}


def test_the_mean_over_sentences_as_the_input_of_all_else(tiny_stage: InProcess) -> None:
    tiny = tiny_stage.project
    nulls = (tiny.root / "metrics/nulls.csv").read_bytes()
    tiny.set(similarity__average_sentences=True)
    tiny_stage.log_of("check", "sentences", "similarity")
    path = tiny.root / "data/similarity.safetensors"
    mean, record = load_file(path), Tensors(path).record
    assert record["sentences"] == [OWN_SENTENCE, *tiny.params["sentences"]["templates"]]
    own, further = (load_file(tiny.root / f"data/{name}.safetensors") for name in ("activations", "sentences"))
    position = Tensors(tiny.root / "data/activations.safetensors").record["word_position"]
    for name in ("x", "v"):
        sentences = [own[f"attn_1_{name}"][:, position], *further[f"attn_1_{name}"].reshape(8, 6, -1)]
        units = [rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True) for rows in sentences]
        np.testing.assert_allclose(mean[name][1], np.mean([condense(u @ u.T) for u in units], axis=0), atol=1e-6)
    # Nulls are made of the prompt's own sentence, and so is what they are compared with.
    tiny_stage.log_of("nulls")
    assert (tiny.root / "metrics/nulls.csv").read_bytes() == nulls
    run = Results(focus=1)
    assert run.aside == "means over 9 sentences; random maps, heads and single units are of the prompt's own"
    assert answer(run)[1].endswith("means over 9 sentences, random maps and units the prompt's own.")
