"""The table of what reruns in stages/README.md, row by row, with real `dvc repro`."""

import re
from collections.abc import Callable

import pytest
from conftest import ROOT, TINY_WORDS, Project, copy, digest

#: What stands between the settings and the similarities.
LEADING = {"check", "capture", "sentences", "similarity"}


def reorder(project: Project) -> None:
    """Move a section of params.yaml to the front."""
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    section = re.search(r"tokens:\n(?:  .*\n)+", text).group()
    (project.root / "params.yaml").write_text(section + text.replace(section, ""), encoding="utf-8")


def own_words(project: Project, text: str) -> None:
    (project.root / "own.csv").write_text(text, encoding="utf-8")
    project.set(words_file="own.csv")


OWN = "word,category\npear,fruit\nlime,fruit\nsaw,tools\naxe,tools\nhammer,tools\n"


#: What the README's rows stand for: a cell of its first column → the changes that it names.
CHANGES: dict[str, list[Callable[[Project], None]]] = {
    "nothing": [lambda p: None],
    "a comment, the order of sections": [
        lambda p: (p.replace("params.yaml", "# How the figures look.", "# Looks."), reorder(p))
    ],
    "`figures.theme`": [lambda p: p.set(figures__theme="light")],
    "a style sheet": [lambda p: p.replace("stages/plotting/light.mplstyle", "009988", "009989")],
    "`focus_layer`": [lambda p: p.set(focus_layer=0)],
    "`heads.enabled`": [lambda p: p.set(heads__enabled=False)],
    "`tokens.context`": [lambda p: p.set(tokens__context=2)],
    "`rsa.comparison`": [lambda p: p.set(rsa__comparison="spearman")],
    "`inference.seed`": [lambda p: p.set(inference__seed=1)],
    "`rdms.candidates`": [lambda p: p.set(rdms__candidates={"letters": "spelling"})],
    "`nulls.seed`": [lambda p: p.set(nulls__seed=1)],
    "`sentences.bootstraps`": [lambda p: p.set(sentences__bootstraps=60)],
    "`sentences.templates`: a sentence": [lambda p: p.set(sentences__templates__looked="I saw the {word}")],
    "`capture.positions`": [lambda p: p.set(capture__positions=[1, 2, -1])],
    "`similarity.metric`, `similarity.transform`": [
        lambda p: p.set(similarity__metric="euclidean", similarity__transform="zscore")
    ],
    # After the row before, a transform is on; without one the similarities stay, and with them what is made of them.
    "`similarity.reference_words`, with a transform": [
        lambda p: p.set(similarity__reference_words=["moon", "pear", "sofa", "lamp"])
    ],
    "`similarity.average_sentences`": [lambda p: p.set(similarity__average_sentences=True)],
    "the prompt": [lambda p: p.set(prompt__template="The last word is {word}")],
    "a word, the order of categories, the model": [
        lambda p: p.set(words={"fruit": ["pear", "apple", "peach"], "space": TINY_WORDS["space"]}),
        lambda p: p.set(model__seed=1),
    ],
    "`words_file`, a word in that file": [lambda p: own_words(p, OWN), lambda p: own_words(p, OWN + "fig,fruit\n")],
    "the list in `params.yaml` when it is not used": [lambda p: p.set(words=TINY_WORDS)],
    "a run that is kept in `metrics/models`": [
        lambda p: p.replace("metrics/models/gpt2-mini/summary.json", '"rsa": 0.806', '"rsa": 0.807')
    ],
    "another column of the words file": [
        lambda p: own_words(
            p, "id,word,category\n1,pear,fruit\n2,lime,fruit\n3,saw,tools\n4,axe,tools\n5,hammer,tools\n6,fig,fruit\n"
        )
    ],
}


def table() -> dict[str, str]:
    """Read the table of stages/README.md: change → stages that rerun."""
    readme = (ROOT / "stages/README.md").read_text(encoding="utf-8")
    block = readme.split("| change | stages that rerun |\n", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[1:]]
    return dict(rows)


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
    expected, targets, leading = promised(project, change), (), [name for name in CHANGES if moves_all(project, name)]
    later, before = expected - LEADING, digests(project)
    if list(CHANGES).index(change) >= list(CHANGES).index(leading[0]):
        expected, targets = expected & LEADING, ("similarity",)
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


def moves_all(project: Project, change: str) -> bool:
    """Return whether a change makes other similarities, and with them other results of all kinds."""
    return {"similarity", "rsa"} <= promised(project, change)


def following(project: Project, stage: str) -> set[str]:
    """Return the stages that depend on a stage, or on what depends on it, as DVC says."""
    return set(project.repro("--dry", "--force", "--downstream", stage)) - {stage}


def test_what_follows_similarity_runs_after_all_of_them_and_then_nothing_is_left(project: Project) -> None:
    assert set(project.repro()) == set(project.pipeline) - LEADING
    assert project.repro() == []
