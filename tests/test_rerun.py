"""The table of what reruns in stages/README.md, row by row, with real `dvc repro`."""

import re
from collections.abc import Callable

import pytest
from conftest import ROOT, TINY_WORDS, Project, copy, digest, setting

#: What stands between the settings and the similarities, and beside these.
LEADING = {"check", "capture", "sentences", "similarity"}


def reorder(project: Project) -> None:
    """Move a section of params.yaml to the front."""
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    section = re.search(r"tokens:\n(?:  .*\n)+", text).group()
    (project.root / "params.yaml").write_text(section + text.replace(section, ""), encoding="utf-8")


def own_words(text: str) -> Callable[[Project], None]:
    return lambda p: ((p.root / "own.csv").write_text(text, encoding="utf-8"), p.set(words_file="own.csv"))


OWN = "word,category\npear,fruit\nlime,fruit\nsaw,tools\naxe,tools\nhammer,tools\n"


#: What the README's rows stand for: a cell of its first column → the changes that it names.
CHANGES: dict[str, list[Callable[[Project], None]]] = {
    "nothing": [lambda p: None],
    "a comment, the order of sections": [
        lambda p: (p.replace("params.yaml", "# How the figures look.", "# Looks."), reorder(p))
    ],
    "`figures.theme`": [setting(figures__theme="light")],
    "a style sheet": [lambda p: p.replace("stages/plotting/light.mplstyle", "009988", "009989")],
    "`focus_layer`": [setting(focus_layer=0)],
    "`heads.enabled`": [setting(heads__enabled=False)],
    "`tokens.context`": [setting(tokens__context=2)],
    "`rsa.comparison`": [setting(rsa__comparison="spearman")],
    "`inference.seed`": [setting(inference__seed=1)],
    "`rdms.candidates`": [setting(rdms__candidates={"letters": "spelling"})],
    "`nulls.seed`": [setting(nulls__seed=1)],
    "`sentences.bootstraps`": [setting(sentences__bootstraps=60)],
    "`sentences.templates`: a sentence": [setting(sentences__templates__looked="I saw the {word}")],
    "`capture.positions`": [setting(capture__positions=[1, 2, -1])],
    "`similarity.metric`, `similarity.transform`": [
        setting(similarity__metric="euclidean", similarity__transform="zscore")
    ],
    # After the row before, a transform is on; without one the similarities stay, and with them what is made of them.
    "`similarity.reference_words`, with a transform": [setting(similarity__reference_words=["moon", "pear", "sofa"])],
    "`similarity.average_sentences`": [setting(similarity__average_sentences=True)],
    "the prompt": [setting(prompt__template="The last word is {word}")],
    "a word, the order of categories, the model": [
        setting(words={"fruit": ["pear", "apple", "peach"], "space": TINY_WORDS["space"]}),
        setting(model__seed=1),
    ],
    "`words_file`, a word in that file": [own_words(OWN), own_words(OWN + "fig,fruit\n")],
    "the list in `params.yaml` when it is not used": [setting(words=TINY_WORDS)],
    "a run that is kept in `metrics/models`": [
        lambda p: p.replace("metrics/models/gpt2-mini/summary.json", '"rsa": 0.806', '"rsa": 0.807')
    ],
    "another column of the words file": [own_words((OWN + "fig,fruit\n").replace("\n", ",7\n"))],
}


def table() -> dict[str, str]:
    """Read the table of stages/README.md: change → stages that rerun."""
    readme = (ROOT / "stages/README.md").read_text(encoding="utf-8")
    rows = readme.split("| change | stages that rerun |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return dict(re.findall(r"^\| (.+) \| (.+) \|$", rows, re.MULTILINE))


def test_the_readme_names_the_changes_that_are_tested() -> None:
    assert list(table()) == list(CHANGES)


@pytest.fixture(scope="module")
def project(tiny_template: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for all rows: each leaves it up to date for the next, whose exact list of stages says so."""
    return copy(tiny_template, tmp_path_factory.mktemp("rerun") / "repository")


@pytest.mark.parametrize(("change", "step"), [(name, i) for name, steps in CHANGES.items() for i in range(len(steps))])
def test_a_change_reruns_what_the_readme_says(project: Project, change: str, step: int) -> None:
    """What follows changed similarities runs once, at the end of the table: every time would take minutes."""
    params = (project.root / "params.yaml").read_bytes()
    CHANGES[change][step](project)
    expected, targets = promised(project, change), ()
    leading = [name for name in CHANGES if {"similarity", "rsa"} <= promised(project, name)]
    later, before = expected - LEADING, digests(project)
    if list(CHANGES).index(change) >= list(CHANGES).index(leading[0]):
        expected, targets = expected & LEADING, ("sentences", "similarity")
    ran = project.repro(*targets)
    if change in leading:
        after = digests(project)
        assert after["similarity"] != before["similarity"]
        recaptured = after["activations"] != before["activations"]
        assert later == following(project, "similarity") | ({"correlation"} if recaptured else set())
    if (project.root / "params.yaml").read_bytes() != params:
        expected |= {"check"}
    assert sorted(ran) == sorted(expected)


def digests(project: Project) -> dict[str, str | None]:
    return {name: digest(project.root / f"data/{name}.safetensors") for name in ("activations", "similarity")}


def promised(project: Project, change: str) -> set[str]:
    """Return the stages that the README names beside a change."""
    said = table()[change]
    return set(project.pipeline) if said == "all" else set(re.findall(r"\w+", said)) - {"none"}


def following(project: Project, stage: str) -> set[str]:
    """Return the stages that depend on a stage, or on what depends on it, as DVC says."""
    return set(project.repro("--dry", "--force", "--downstream", stage)) - {stage}


def test_what_follows_similarity_runs_after_all_of_them_and_then_nothing_is_left(project: Project) -> None:
    assert set(project.repro()) == set(project.pipeline) - LEADING
    assert project.repro() == []
