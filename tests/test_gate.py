"""python -m stages.gate: every verdict, every exit code, and never a silent pass."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Project, commit, digest, remove
from hypothesis import given
from hypothesis import strategies as st

from stages.gate import __main__ as gate
from stages.gate import verdicts
from stages.gate.verdicts import Tolerances, Verdict
from stages.pipeline.settings import read_checked, read_yaml
from stages.statistics.draws import amount

TABLE = "layer,q,k\n0,0.5,1.0\n1,-0.25,\n"
CLAIMS = {"rsa_focus": {"measured": {"qk": 0.9}, "post": "around .85", "holds": True}, "d_dip": {"holds": None}}
FILES = {
    "rsa.csv": TABLE,
    "inference.csv": "layer,measure,of,value,p\n0,rsa,qk,0.9,0.0001\n0,d,q,1.5,\n",
    "summary.json": '{"rsa": 0.658672, "head_q": "L4H0", "claims_held": 8}',
    "claims.json": json.dumps(CLAIMS),
    "tolerances.yaml": '"inference.csv * p": 0.001\n"*": 0.00001\n',
}


class Gate(Project):
    """A Git repository with metrics on its main branch, and the command run in it, in this process."""

    def __init__(self, root: Path, call: Callable) -> None:
        super().__init__(root)
        self._call = call
        (root / ".dvc").mkdir()
        (root / ".dvc/config").touch()
        (root / "metrics").mkdir()
        for name, text in FILES.items():
            self.write(name, text)
        self.run("git", "init", "-q", "-b", "main")
        commit(self)

    def write(self, name: str, content: str | bytes) -> None:
        (Path("metrics") / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def change(self, name: str, old: str, new: str) -> None:
        assert FILES[name].count(old) == 1
        self.write(name, FILES[name].replace(old, new))

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Return the exit code, tables with their spaces made one, and stderr."""
        code, out, errors = self._call(gate, *arguments)
        return code, "\n".join(" ".join(line.split()) for line in out.splitlines()), errors


@pytest.fixture
def gated(tmp_path: Path, in_process: Callable, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.chdir(tmp_path)
    return Gate(tmp_path, in_process)


def test_the_same_metrics_pass_and_are_listed_when_asked_for(gated: Gate) -> None:
    code, said, errors = gated()
    assert (code, errors) == (0, "")
    assert re.search(r"gate: within tolerance of main \([0-9a-f]{7}\): 15 metrics$", said)
    assert "rsa.csv 4 0 0 0" in said
    assert "verdict" not in said  # nothing differs, nothing is listed
    said = gated("--all")[1]
    for row in (
        "rsa.csv layer 1 q -0.25 -0.25 0 0.00001 same",
        "rsa.csv layer 1 k same",  # empty on both sides
        "inference.csv layer 0 rsa qk p 0.0001 0.0001 0 0.001 same",
        "claims.json rsa_focus.measured.qk 0.9 0.9 0 0.00001 same",
        "claims.json rsa_focus.holds true true same",
    ):
        assert f"{row}\n" in said


#: A change → file, old text, new text; exit code, row of the table, line of the file.
CHANGES = {
    "within its own": ("inference.csv", "0.0001", "0.0011", 0, "rsa qk p 0.0001 0.0011 0.001 0.001 within"),
    "text": ("summary.json", "L4H0", "[red]", 1, "summary.json head_q L4H0 [red] changed"),  # no markup
    "a claim": ("claims.json", "true", "false", 1, "claims.json rsa_focus.holds true false changed"),
    "written otherwise": ("rsa.csv", "0.5", "5e-1", 0, ""),
    "NaN": ("rsa.csv", "0.5", "NaN", 2, "rsa.csv layer 0 q 0.5 nan not a number"),
    "infinite, in JSON": ("summary.json", "0.658672", "Infinity", 2, "summary.json rsa 0.658672 inf not a number"),
    "text for a number": ("rsa.csv", "0.5", "much", 2, "rsa.csv layer 0 q 0.5 much not a number"),
    "a number for text": ("claims.json", "true", "1", 2, "claims.json rsa_focus.holds true 1 not a number"),
    "empty here, and beyond": (
        *("rsa.csv", "0,0.5,1.0", "0,0.6,", 2),  # what cannot be judged goes before what is beyond
        "rsa.csv layer 0 k 1 empty\nrsa.csv layer 0 q 0.5 0.6 0.1 0.00001 beyond",
    ),
    "no longer judged": ("claims.json", "true", "null", 2, "claims.json rsa_focus.holds true empty"),
    "a row less": ("rsa.csv", "1,-0.25,\n", "", 2, "rsa.csv layer 1 a row missing"),
    "a row more": ("rsa.csv", "1,-0.25,\n", "1,-0.25,\n2,1,1\n", 2, "rsa.csv layer 2 a row new"),
    "a column renamed": ("rsa.csv", "q,k", "q,v", 2, "rsa.csv k a column missing\nrsa.csv v a column new"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_has_its_verdict(gated: Gate, change: str) -> None:
    name, old, new, expected, row = CHANGES[change]
    gated.change(name, old, new)
    code, said, errors = gated()
    assert code == expected
    assert row in said
    verdict = ("within tolerance of", "not within tolerance of", "cannot judge against")[code]
    assert f"gate: {verdict} main (" in said + errors


#: What becomes of a file → what the gate says, from either side.
UNREADABLE = {
    "JSON cut short": ("summary.json", '{"rsa": 0.6', "Expecting"),
    "JSON, but a list": ("claims.json", "[1, 2]", "not a JSON object"),
    "a table cut short": ("rsa.csv", TABLE[:-5], "it is empty or cut short"),
    "a row twice": ("rsa.csv", TABLE + "1,0,0\n", "row layer 1 is there twice"),
    "a column twice": ("rsa.csv", "layer,q,q\n0,1,1\n", "column q is there twice"),
    "a cell too many": ("rsa.csv", TABLE + "2,0,0,0\n", "Expected 3 fields in line 4, saw 4"),
    "no text": ("rsa.csv", b"\xff\xfe\x00", "can't decode byte 0xff"),
}


@pytest.mark.parametrize("side", ["base", "workspace"])
@pytest.mark.parametrize("what", UNREADABLE)
def test_an_unreadable_file_cannot_be_judged(gated: Gate, what: str, side: str) -> None:
    name, content, reason = UNREADABLE[what]
    gated.write(name, content)
    if side == "base":
        commit(gated)
        gated.write(name, FILES[name])
    code, said, errors = gated()
    assert code == 2
    where = r"main \(\w{7}\)" if side == "base" else "the workspace"
    assert re.search(rf"^metrics/{name} of {where} cannot be read: .*{reason}", errors, re.MULTILINE)
    assert "inference.csv 4 0 0 0" in said  # the others are judged nevertheless


def test_what_the_base_lacks_passes_only_when_allowed_and_what_the_workspace_lacks_never(gated: Gate) -> None:
    gated.write("heads.csv", "layer,head,q\n0,0,1.0\n")
    gated.change("rsa.csv", "layer,q,k\n0,0.5,1.0\n1,-0.25,", "layer,q,k,v\n0,0.5,1.0,2\n1,-0.25,,2")
    for arguments, expected in (((), 2), (("--allow-new",), 0)):
        code, said, errors = gated(*arguments)
        assert code == expected
        assert "heads.csv a file new\nrsa.csv v a column new" in said
        assert ("0 beyond tolerance or changed, 2 not to be judged" in errors) == (code == 2)
    gated.change("rsa.csv", "0.5", "0.6")
    assert gated("--allow-new")[0] == 1
    Path("metrics/rsa.csv").unlink()
    code, said, _ = gated("--allow-new")
    assert (code, "rsa.csv a file missing" in said) == (2, True)


def test_revisions(gated: Gate) -> None:
    gated.change("rsa.csv", "0.5", "0.6")
    commit(gated)
    assert gated()[0] == 0
    sha = gated.run("git", "rev-parse", "HEAD~1").stdout.strip()
    gated.run("git", "tag", "first", sha)
    gated.run("git", "update-ref", f"refs/exps/{sha[:2]}/{sha[2:]}/experiment", sha)
    for name in ("HEAD~1", sha[:8], "first", "experiment"):
        code, said, _ = gated("--base", name)
        assert code == 1
        assert "rsa.csv layer 0 q 0.5 0.6 0.1" in said
    for name in ("nosuch", "HEAD^{tree}", ""):
        code, said, errors = gated("--base", name)
        assert (code, said, errors.count("\n")) == (2, "", 2)
        assert errors.startswith(f"gate: {name or 'an empty name'} is no Git revision or experiment of this")


def test_a_base_without_metrics_cannot_be_judged(gated: Gate) -> None:
    gated.run("git", "rm", "-rq", "--cached", "metrics")
    gated.run("git", "commit", "-qm", "none")
    code, said, errors = gated("--allow-new")
    assert (code, "rsa.csv a file new" in said, "has no metric in metrics" in errors) == (2, True, True)
    for name in set(FILES) - {"tolerances.yaml"}:  # nor has the workspace
        (Path("metrics") / name).unlink()
    assert gated()[0] == 2


def test_without_a_main_branch_the_remote_s_is_taken_and_without_either_it_says_so(gated: Gate) -> None:
    gated.run("git", "update-ref", "refs/remotes/origin/main", "HEAD")
    gated.run("git", "checkout", "-q", "-b", "topic")
    gated.run("git", "branch", "-q", "-D", "main")
    assert "of origin/main (" in gated()[1]
    gated.run("git", "update-ref", "-d", "refs/remotes/origin/main")
    code, _, errors = gated()
    assert (code, "there is neither main nor origin/main here" in errors) == (2, True)
    said = "gate: this is no Git repository with a commit: `git init && git add -A && git commit -m start`\n"
    for change in (lambda: remove(gated.root / ".git"), lambda: gated.run("git", "init", "-q")):
        change()
        assert [gated("--base", "HEAD")[::2], gated()[::2]] == [(2, said)] * 2


#: The text of tolerances.yaml, if any → what is said of it.
BAD_TOLERANCES = {
    "rsa.csv *: small": ": rsa.csv *: 'small' is not a number of 0 or more",
    '"*": -1': ": *: -1 is not a number of 0 or more",
    '"*": .inf': ": *: inf is not a number of 0 or more",
    '"*": true': ": *: true is not a number of 0 or more",
    "": " holds no tolerances",
    '"*": 1\n"*": 2': ", line 2: not valid YAML",
    "rsa.csv *: 1": ": no tolerance fits claims.json rsa_focus.measured.qk",
    None: " is missing",
}


@pytest.mark.parametrize("text", BAD_TOLERANCES)
def test_bad_tolerances_cannot_be_judged_by(gated: Gate, text: str | None) -> None:
    Path("metrics/tolerances.yaml").unlink() if text is None else gated.write("tolerances.yaml", f"{text}\n")
    code, said, errors = gated()
    assert (code, said) == (2, "")
    assert errors.startswith(f"gate: metrics/tolerances.yaml{BAD_TOLERANCES[text]}")


def test_the_first_pattern_that_fits_counts_and_the_rest_are_noted(gated: Gate) -> None:
    gated.write("tolerances.yaml", '"rsa.csv layer 0 *": 0.2\n"*": 0\nrsa.csv * q: 9\ninfernce.csv *: 1\n')
    gated.change("rsa.csv", "0.5,1.0\n1,-0.25", "0.7,1.0\n1,-0.26")
    code, said, _ = gated()
    assert code == 1
    assert "layer 0 q 0.5 0.7 0.2 0.2 within" in said
    assert "layer 1 q -0.25 -0.26 -0.01 0 beyond" in said
    for unused in ("rsa.csv * q", "infernce.csv *"):
        assert f"note: no metric goes by '{unused}' of metrics/tolerances.yaml" in said


def test_markdown_is_added_to_the_file(gated: Gate, tmp_path: Path) -> None:
    gated.change("rsa.csv", "0.5", "0.6")
    gated.change("summary.json", "L4H0", "L4|H0")
    file = tmp_path / "summary.md"
    file.write_text("before\n", encoding="utf-8")
    for count in (1, 2):
        code, _, errors = gated("--markdown", file)
        text = file.read_text(encoding="utf-8")
        assert (code, text.count("### Metrics")) == (1, count)
    assert text.startswith("before\n### Metrics against main (")
    assert errors.strip().removeprefix("gate: ") in text
    for row in (
        "| rsa.csv layer 0 q | 0.5 | 0.6 | 0.1 | 0.00001 | beyond |\n",
        "| summary.json head_q | L4H0 | L4\\|H0 |  |  | changed |\n",
        "| file | same | within | beyond | not judged | largest difference |\n| --- |",
    ):
        assert row in text
    code, _, errors = gated("--markdown", tmp_path / "none/summary.md")
    assert (code, "cannot be written" in errors) == (2, True)


def test_what_is_within_is_listed_in_short_and_a_job_summary_has_no_more_rows_than_fit(gated: Gate, tmp_path) -> None:
    pd.Series([1.0] * 700, name="q").to_csv("metrics/rsa.csv", index_label="layer")
    commit(gated)
    pd.Series([2.0] * 510 + [1.000001] * 189 + [1.000009], name="q").to_csv("metrics/rsa.csv", index_label="layer")
    file = tmp_path / "summary.md"
    code, said, _ = gated("--markdown", file)
    assert code == 1
    assert (said.count(" within\n"), said.count(" beyond\n")) == (10, 510)
    lines = [line for line in said.splitlines() if line.startswith("rsa.csv layer")]
    assert lines[509:511] == [  # what failed, then what is nearest to its limit
        "rsa.csv layer 509 q 1 2 1 0.00001 beyond",
        "rsa.csv layer 699 q 1 1.000009 0.000009 0.00001 within",
    ]
    assert "and 180 more within tolerance" in said
    text = file.read_text(encoding="utf-8")
    assert text.count("0.00001 | beyond |") == 500
    assert "and 20 more rows" in text
    assert gated("--all")[1].count(" within\n") == 190


CLOSE = st.none() | st.integers(-3, 3)


@given(near=st.integers(-(10**7), 10**7), base=CLOSE, here=CLOSE, tolerance=st.integers(0, 6))
def test_a_number_passes_just_when_it_is_within(near: int, base: int | None, here: int | None, tolerance: int) -> None:
    """In millionths, which are exact, near a number."""
    cells = [{("", "x"): None if value is None else (near + value) / 1e6} for value in (base, here)]
    (judged,) = verdicts.compare("summary.json", *cells, Tolerances.model_validate({"*": tolerance / 1e6}))
    if base == here:
        assert judged.verdict == Verdict.SAME
    elif None in (base, here):
        assert judged.verdict == Verdict.EMPTY
    else:
        assert judged.verdict == (Verdict.WITHIN if abs(here - base) <= tolerance else Verdict.BEYOND)


def test_the_committed_tolerances_are_all_used_and_let_one_draw_cross_a_score_and_not_two() -> None:
    tolerances, metrics = read_checked(ROOT / "metrics/tolerances.yaml", Tolerances, ""), []
    for path in (ROOT / "metrics").iterdir():
        if path.suffix in gate.ENDINGS:
            cells = verdicts.parse(path.name, path.read_text(encoding="utf-8"))
            metrics += [j.metric for j in verdicts.compare(path.name, cells, cells, tolerances)]
    assert tolerances.unused(metrics) == []

    settings = read_yaml(ROOT / "params.yaml")
    words = sum(map(len, settings["words"].values()))
    shuffles, draws = settings["inference"]["permutations"], amount("nulls.draws", settings["nulls"]["draws"], words)
    steps = {
        "inference.csv layer 0 rsa qk p": 1 / (shuffles + 1),
        "inference.csv layer 0 d q p_familywise": 1 / (shuffles + 1),
        "nulls.csv layer 0 orientation rsa_within kv p": 2 / (draws + 1),
        "nulls.csv layer 0 spectrum d q p": 2 / (draws + 1),
        "nulls.csv layer 0 orientation rsa qk p_familywise": 1 / (draws + 1),
    }
    for metric, step in steps.items():
        assert step <= tolerances.root[tolerances.pattern(metric)] < 2 * step, metric


SIMILARITY = "data/similarity.safetensors"
#: An edit without `dvc repro`: the file, old text (None: all of it), new text (None: it is gone), what the gate names.
STALE = {
    "a setting": (
        *("params.yaml", "metric: cosine", "metric: euclidean"),
        *("check: params.yaml; run", "sentences: similarity.metric in params.yaml", "report: similarity in params"),
    ),
    "a source": ("stages/heads.py", "from stages", "# edited\nfrom stages", "heads: stages/heads.py"),
    "a metrics file": ("metrics/rsa.csv", "layer,qk", "layer,qk ", "rsa: metrics/rsa.csv", "claims: metrics/rsa.csv"),
    "a metrics file that is gone": ("metrics/rsa.csv", None, None, "rsa: metrics/rsa.csv (missing)"),
    "a command": ("dvc.yaml", "cmd: python -m stages.rsa", "cmd: python -B -m stages.rsa", "rsa: its command"),
    "the model": ("data/models/gpt2-mini/config.json", "{", "{ ", "capture: data/models/gpt2-mini;"),
    "data that were made over": (SIMILARITY, None, "other", f"similarity: {SIMILARITY}", f"rsa: {SIMILARITY}"),
    "a lock that is gone": ("dvc.lock", None, None, "check: never ran", "rsa: never ran"),
}


@pytest.mark.parametrize("edit", STALE)
def test_a_stale_lock_cannot_be_judged_by(tiny: Project, in_process, monkeypatch, edit: str) -> None:
    name, old, new, *expected = STALE[edit]
    monkeypatch.chdir(tiny.root)
    content = Path(name).read_bytes()
    Path(name).unlink()  # not through a link into DVC's cache
    if new is not None:
        Path(name).write_bytes(new.encode() if old is None else content.replace(old.encode(), new.encode()))
    lock = digest(tiny.root / "dvc.lock")
    code, _, errors = in_process(gate)
    assert (code, digest(tiny.root / "dvc.lock")) == (2, lock)
    _, *lines = errors.splitlines()
    for entry in expected:
        assert [line for line in lines if line.startswith(f"dvc.lock is stale, stage {entry}")], errors
    assert all(line.endswith("; run `dvc repro`") for line in lines)
    assert edit != "a source" or len(lines) == 1  # no other stage is named


def test_a_broken_pipeline_is_told(tiny: Project, in_process, monkeypatch) -> None:
    monkeypatch.chdir(tiny.root)
    Path("dvc.yaml").write_text("stages: [\n", encoding="utf-8")
    code, _, errors = in_process(gate)
    assert code == 2
    assert errors.startswith("gate: DVC cannot tell whether dvc.lock is that of the workspace")


def test_a_fresh_clone_without_cache_is_not_stale_unless_its_lock_contradicts_itself(tiny: Project) -> None:
    gated = (sys.executable, "-m", "stages.gate")
    assert "gate: within tolerance of main (" in tiny.run(*gated).stdout
    clone = Project(tiny.root.parent / "clone")
    tiny.run("git", "clone", "-q", str(tiny.root), str(clone.root))
    assert not (clone.root / SIMILARITY).exists()
    for base in ([], ["--base", "origin/main"]):
        clone.run(*gated, *base)
    lock = (clone.root / "dvc.lock").read_text(encoding="utf-8")
    own = lock.split("  rsa:\n", 1)[1]
    recorded = re.search(rf"path: {SIMILARITY}\n\s+hash: md5\n\s+md5: (\w+)", own).group(1)
    clone.replace("dvc.lock", own, own.replace(recorded, "f" * 32, 1))
    done = clone.run(*gated, check=False)
    assert done.returncode == 2
    assert f"stage rsa: {SIMILARITY} (made anew since)" in done.stderr
