"""Projects to test on: copies of this repository, run with real DVC commands in folders of their own."""

import atexit
import compileall
import functools
import gc
import hashlib
import importlib
import json
import operator
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from py_compile import PycInvalidationMode
from types import ModuleType

import hypothesis  # noqa: F401  it asks the collector for what `pytest_collection_finish` hides from it
import pytest
import vl_convert
from filelock import FileLock
from PIL import Image
from ruamel.yaml import YAML

WORKSPACE = Path(__file__).parents[1]
#: What a run is asked for and what it gives: the tests take the commit's, whatever the workspace was last used for.
OF_THE_COMMIT = ("params.yaml", "dvc.lock", "data/*.csv", "metrics/**/*.csv", "metrics/**/*.json", "plots/**/*.png")


def subject() -> Path:
    """Clone the workspace for the tests, with its uncommitted changes of code and pages: once for all workers."""
    if "TESTS_SUBJECT" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="subject"))
        root = str(folder / "repository")
        cloned = subprocess.run(["git", "clone", "-qn", str(WORKSPACE), root], capture_output=True).returncode == 0
        if not cloned or subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True).returncode:
            sys.exit("the tests need a commit: git init && git add -A && git commit -m start")
        from_workspace = (f"--git-dir={root}/.git", f"--work-tree={WORKSPACE}", "-C", str(WORKSPACE))
        kept = [f":(exclude,glob){pattern}" for pattern in OF_THE_COMMIT]
        for command in (
            ("-C", root, "reset", "-q"),
            (*from_workspace, "add", "-A", "--", ".", *kept),
            ("-C", root, "checkout-index", "-qa"),
        ):
            subprocess.run(["git", *command], check=True, capture_output=True)
        os.environ["TESTS_SUBJECT"] = root
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(os.environ["TESTS_SUBJECT"])


ROOT = subject()

TINY_WORDS = {"space": ["galaxy", "moon", "star"], "fruit": ["pear", "apple", "lime"]}
#: Files that run whole pipelines: begun first, so that no worker is left with one of them at the end.
LONG = (
    *("test_rerun", "test_scrutiny", "test_end_to_end", "test_gate", "test_guard"),
    *("test_experiments", "test_sharing", "test_contract", "test_families", "test_other_models"),
    *("test_browser", "test_compare", "test_words", "test_choices"),
)
#: Names the folder of the `python` that asks the server of tests/warm.py; workers get it with their environment.
WARM = "WARM_PYTHON"

#: What importing torch, transformers and the tests leaves is all needed: looking for garbage in it takes seconds.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Start the server of warm interpreters: one, whatever the number of workers. It imports nothing until asked."""
    # One thread for each worker and process: two of each on two cores spend a tenth of the time waiting for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch read it; benchmarks, too, import this file
    if sys.platform != "linux" or hasattr(config, "workerinput"):
        return
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    warm, address = str(Path(__file__).with_name("warm.py")), str(folder / "socket")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{warm}" ask "{address}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, warm, "serve", address],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")},
        stdin=subprocess.PIPE,  # its end is the server's end
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.environ[WARM] = str(folder)

    def stop() -> None:
        server.communicate()
        del os.environ[WARM]
        shutil.rmtree(folder)

    config.add_cleanup(stop)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [*LONG, item.path.stem].index(item.path.stem))


@functools.cache
def parse(text: str) -> dict:
    """Read YAML: a quarter of a second for dvc.yaml, which is looked at all the time."""
    return YAML(typ="safe").load(text)


class Project:
    """A copy of the repository in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {
            **os.environ,
            **{"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"},  # nothing here may reach a network
            "HF_HOME": str(root.parent / "hub"),
            # Git, and DVC where it keeps experiments, ask who commits.
            **{f"GIT_{role}_NAME": "test" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "test@example.org" for role in ("AUTHOR", "COMMITTER")},
        }
        self.env.pop("PYTHONPATH", None)

    def _env(self, cold: bool) -> dict[str, str]:
        """Prepend the `python` that DVC runs to the path: the one that runs the tests, warm or from its start."""
        warm = [os.environ[WARM]] if WARM in os.environ and not cold else []
        return {**self.env, "PATH": os.pathsep.join([*warm, str(Path(sys.executable).parent), self.env["PATH"]])}

    def run(self, *command: str, check: bool = True, cold: bool = False, **kwargs) -> subprocess.CompletedProcess:
        """Run a command; `sys.executable` stands for the `python` on the path, real from its start if `cold`."""
        if command[0] == sys.executable and not cold and WARM in os.environ:
            command = (str(Path(os.environ[WARM]) / "python"), *command[1:])
        kwargs = {"capture_output": True, "text": True, "env": self._env(cold), **kwargs}
        done = subprocess.run(command, cwd=self.root, **kwargs)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def dvc(self, *arguments: str, **kwargs) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "dvc", *arguments, **kwargs)

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro` and list the stages that ran."""
        return re.findall(r"Running stage '(\w+)'", self.dvc("repro", *arguments).stdout)

    def status(self) -> str:
        """List what Git sees as changed."""
        return self.run("git", "status", "--porcelain").stdout

    def popen(self, *command: str) -> subprocess.Popen:
        """Start a command that will be killed or interrupted: no warm interpreter anywhere in it."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.root, env=self._env(cold=True), start_new_session=True, **pipes)

    @property
    def pipeline(self) -> dict:
        return parse((self.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

    @property
    def params(self) -> dict:
        return parse((self.root / "params.yaml").read_text(encoding="utf-8"))

    def setting(self, key: str) -> object:
        return functools.reduce(operator.getitem, key.split("."), self.params)

    def paths(self, stage: str, kind: str) -> list[str]:
        """List the deps or outs of a stage, the files that settings name among them."""
        entries = self.pipeline[stage].get(kind, [])
        listed = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
        return list(dict.fromkeys(re.sub(r"^\$\{(.+)\}$", lambda key: self.setting(key[1]), path) for path in listed))

    def outputs(self) -> dict[str, str | None]:
        """Digest every output of every stage; None where there is none."""
        paths = [path for stage in self.pipeline for path in self.paths(stage, "outs")]
        return {path: digest(self.root / path) for path in paths}

    def set(self, **values) -> None:
        """Change settings: set(similarity__metric="euclidean"); comments and order stay."""
        yaml, path = YAML(), self.root / "params.yaml"
        params = yaml.load(path.read_text(encoding="utf-8"))
        for key, value in values.items():
            *sections, name = key.split("__")
            functools.reduce(dict.__getitem__, sections, params)[name] = value
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(params, file)

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")


def setting(**values: object) -> Callable[[Project], None]:
    """Return a change of settings, as `Project.set` takes them: for tables of changes."""
    return lambda project: project.set(**values)


def assert_told(name: str, expected: str, code: int, said: str) -> None:
    """Assert that a command or stage ended with a mistake, and named it in a line, with advice in another."""
    assert code == 1
    assert said.startswith(f"{name}: ")
    assert expected in said
    assert len(said.splitlines()) <= 2


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def digest(path: Path) -> str | None:
    """Digest a file, or the names and contents of a folder's files."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        entries = [f"{file.relative_to(path).as_posix()} {digest(file)}" for file in files]
        return hashlib.sha256("\n".join(entries).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def copy_repository(target: Path) -> Project:
    """Copy what is tested, without its history, into a new repository."""
    subprocess.run(["git", "checkout-index", "-a", f"--prefix={target}/"], cwd=ROOT, check=True)
    # Compiled once for all stages of all copies of it. By the source's digest: times miss an edit in the same second.
    compileall.compile_dir(target / "stages", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    project = Project(target)
    project.run("git", "init", "-q", "-b", "main", "--template=")
    commit(project)
    return project


def commit(project: Project) -> None:
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "state")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Project:
    """Make a project once for all workers: the first one who comes makes it, the others wait and look at it."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder / "repository")
            (folder / "made").touch()
    return Project(folder / "repository")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repository as it is, every stage recomputed: what a fresh clone runs, all others by force, what follows."""

    def make(root: Path) -> None:
        project = copy_repository(root)
        log = {"by itself": project.repro(), "status": [project.status()]}
        rest = [name for name in project.pipeline if name not in log["by itself"]]
        log |= {"forced": project.repro("--force", "--single-item", *rest), "after": project.repro()}
        log["status"].append(project.status())
        root.with_name("log.json").write_text(json.dumps(log), encoding="utf-8")

    return once(tmp_path_factory, "embedded", make)


#: What the tiny run does without: stages in the tests' own process need the files as they are.
EASED = ("stages/plotting/parallel.py", "stages/pages/report.py")
#: A sheet instead of each figure, at once, unless $DRAWN names it or is "all". It tells what would be drawn: it
#: changes when the figure would.
UNDRAWN = """
import hashlib
import os
import pickle
import re
import time
from pathlib import Path

from PIL import Image, PngImagePlugin

draw_all = share_out


def share_out(tasks, name, unit):
    drawn = os.environ.get("DRAWN", "") if name == "figures" else "all"
    blank = [] if drawn == "all" else [task for task in tasks if task.args[2].stem not in drawn]
    for theme, draw, path, dpi in (task.args for task in blank):
        style = Path(__file__).with_name(f"{theme}.mplstyle").read_text()
        source = PngImagePlugin.PngInfo()
        source.add_text("source", hashlib.sha256(pickle.dumps((style, dpi, draw))).hexdigest())
        colour = re.search(r"figure.facecolor: *(\\w+)", style)[1]
        Image.new("RGB", (600, 200), f"#{colour}").save(path, "png", pnginfo=source)
        time.sleep(float(os.environ.get("SECONDS_A_FIGURE", 0)))
    if len(blank) < len(tasks):
        draw_all([task for task in tasks if task not in blank], name, unit)
"""


bundle = functools.cache(vl_convert.javascript_bundle)  # the charts' library: a second


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run on a two-layer random model and six words, few draws and no figure drawn, committed; to look at only."""

    def make(root: Path) -> None:
        project = copy_repository(root)
        shutil.rmtree(root / "tests")  # what is copied often is small
        tiny_model(root / "data/models/tiny", layers=2)
        project.set(model__name="data/models/tiny", model__weights="random", words=TINY_WORDS, focus_layer=1)
        project.set(inference__permutations=999, inference__bootstraps=500, nulls__draws=40, sentences__bootstraps=100)
        project.set(figures__dpi=50)
        with (root / EASED[0]).open("a", encoding="utf-8") as drawing:
            drawing.write(UNDRAWN)
        library = root.with_name("library.js")
        library.write_text(bundle(), encoding="utf-8")
        bundled = f"__import__('pathlib').Path({str(library)!r}).read_text('utf-8')"
        project.replace(EASED[1], "vl_convert.javascript_bundle()", bundled)
        project.repro()
        commit(project)
        project.run("git", "repack", "-adq")  # copied often: three files instead of hundreds

    return once(tmp_path_factory, "tiny", make)


def tiny_model(folder: Path, layers: int) -> None:
    """Describe a model whose weights are random: it needs none in its folder."""
    folder.mkdir()
    sizes = {"vocab_size": 6144, "n_positions": 64, "n_embd": 16, "n_layer": layers, "n_head": 2}
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}), encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "data/models/gpt2-mini" / name, folder / name)


#: Files that are replaced, never changed in place: in copies of a project they are links, ten times as fast.
REPLACED = re.compile(r"[/\\](__pycache__|plots|\.git[/\\]objects|\.dvc[/\\]cache)[/\\]")


def copy(project: Project, root: Path) -> Project:
    """Copy a project with its outputs and their cache."""

    def place(source: str, target: str) -> None:
        (os.link if REPLACED.search(source) else shutil.copy2)(source, target)

    return Project(shutil.copytree(project.root, root, symlinks=True, copy_function=place))


@pytest.fixture
def tiny(tiny_template: Project, tmp_path: Path) -> Project:
    """A copy of the tiny run, to change at will."""
    return copy(tiny_template, tmp_path / "repository")


undrawn = tiny  # as no figure is drawn


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, main: Callable, *arguments: str
) -> tuple[int, str, str]:
    """Call what a command calls, with its arguments: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    capsys.readouterr()
    code = 0
    try:
        main()
    except SystemExit as exit_:
        code = exit_.code
    return code, *capsys.readouterr()


class InProcess:
    """Runs stages of a project in this process: fast, and no less real (`stages.pipeline.stage.run` is the command)."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        self.project, self._call = project, functools.partial(call, monkeypatch, capsys)
        monkeypatch.chdir(project.root)

    def run(self, stage: str) -> tuple[int, str]:
        """Return the exit code and what the stage wrote to stderr; what it wrote to stdout is in `log`."""
        from stages.pipeline.stage import run

        module = importlib.import_module(f"stages.{stage}")
        code, self.log, errors = self._call(lambda: run(stage, module.main, module.__doc__))
        return code, errors

    def log_of(self, *stages: str) -> str:
        """Run stages, by default all, that must not fail, and return what they print."""
        log = ""
        for stage in stages or self.project.pipeline:
            code, said = self.run(stage)
            assert code == 0, said
            log += self.log
        return log


@pytest.fixture
def draw_only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have stages of this process draw the named figures, in the run's own theme, and a dot instead of the others."""

    from stages.plotting.style import themed

    def draw_only(*names: str) -> None:
        def draw_some(tasks: Sequence[functools.partial], *_: str) -> None:
            for theme, draw, path, dpi in (task.args for task in tasks):
                if path.parent.name == ".figures.tmp" and path.stem in names:
                    themed(theme, draw, path, dpi)
                else:
                    Image.new("L", (1, 1)).save(path, "png")

        monkeypatch.setattr("stages.figures.share_out", draw_some)

    return draw_only


@pytest.fixture
def toolbox() -> ModuleType:
    return pytest.importorskip("rsatoolbox", reason="`pip install -r tests/benchmarks/requirements.txt` brings it")


@pytest.fixture
def tiny_stage(tiny: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> InProcess:
    """Run stages of a tiny project in this process."""
    for path in EASED:
        shutil.copyfile(ROOT / path, tiny.root / path)
    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    return InProcess(tiny, monkeypatch, capsys)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Run a command's module in this process: exit code, stdout, stderr."""
    return lambda command, *arguments: call(monkeypatch, capsys, command.main, *map(str, arguments))
