"""How every stage runs: it gets what dvc.yaml declares for it and nothing else, and publishes when it ends well."""

import atexit
import gc
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from stages import SOURCES, digest_sources
from stages.pipeline import command, outputs
from stages.pipeline.errors import UserError
from stages.pipeline.settings import PARAMS, load, read_yaml

PIPELINE = Path("dvc.yaml")


class Declared:
    """The settings, cut down to the keys that a stage declares in dvc.yaml.

    Reading any other key is an error in the code: DVC would not rerun the stage when that key changes.
    """

    def __init__(self, values: Any, keys: set[str], prefix: str = "") -> None:
        self._values, self._keys, self._prefix = values, keys, prefix

    def __getattr__(self, name: str) -> Any:
        key = self._prefix + name
        if key in self._keys:
            return getattr(self._values, name)
        if any(declared.startswith(f"{key}.") for declared in self._keys):
            return Declared(getattr(self._values, name), self._keys, f"{key}.")
        raise AttributeError(f"{key} is not among this stage's params in {PIPELINE}")


class Stage:
    """One run of a stage: what it may read, where it writes, and the guard between the two.

    Used as a context manager. When made, it takes the digests of the stage's dependencies and the values of its
    parameters. `output` and `folder` return temporary paths. On a clean exit the guard looks at dependencies and
    parameters again: DVC records them as they are when a stage *ends*, so that a file edited meanwhile would leave a
    green lock over stale data. Unless something changed, the temporaries are then renamed to the outputs, one after
    the other; otherwise, and after any error, they are removed and the earlier outputs stay as they were. A kill
    between two of the renames leaves some outputs new and some old. The next `dvc repro` then runs the stage again, as
    what it finds is not what dvc.lock records.

    Parameters
    ----------
    name : str
        The stage's name in dvc.yaml.

    Raises
    ------
    UserError
        If the settings have a mistake, a dependency is missing, or something changed during the run.
    """

    def __init__(self, name: str) -> None:
        declared = _declaration(name)
        self.name = name
        self._keys = set(declared.get("params", []))
        self._outs = _paths(declared["outs"])
        self._values = load()
        self._deps = list(dict.fromkeys(self._resolve(path) for path in _paths(declared["deps"])))
        self.settings = Declared(self._values, self._keys)
        # Of this package as it was before anything of it was imported, of other files as they are now.
        self._digests = _digest(self._deps, SOURCES)
        self._written: set[str] = set()

    def _resolve(self, path: str) -> str:
        """Replace ``${key}`` by that setting: DVC's way to depend on a file that the user names."""
        if not (key := _template(path)):
            return path
        path = attrgetter(key)(self._values)
        if not Path(path).is_file():
            raise UserError(f"{key}: there is no file {path}")
        return path

    def ahead(self, key: str) -> Any:
        """Return a setting that only later stages use, to refuse it before anything is written that it does not fit.

        It must not change what this stage writes: DVC does not rerun the stage when it changes.
        """
        return attrgetter(key)(self._values)

    def input(self, path: str) -> Path:
        """Return the path of a declared dependency."""
        if path not in self._deps:
            raise AssertionError(f"{path} is not among the deps of stage {self.name} in {PIPELINE}")
        return Path(path)

    def output(self, path: str) -> Path:
        """Return the temporary file that becomes the declared output `path` when the stage ends well."""
        if path not in self._outs:
            raise AssertionError(f"{path} is not among the outs of stage {self.name} in {PIPELINE}")
        self._written.add(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return outputs.temporary(path)

    def folder(self, path: str) -> Path:
        """Return the temporary folder, empty, that becomes the declared output `path` when the stage ends well."""
        folder = self.output(path)
        folder.mkdir()
        return folder

    def __enter__(self) -> "Stage":
        self._sweep()  # what a killed run left behind
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._guard()
                if unwritten := set(self._outs) - self._written:
                    raise AssertionError(f"stage {self.name} did not write {', '.join(sorted(unwritten))}")
                with command.signals_held("interrupted just when all was written: run `dvc repro` again"):
                    for path in self._outs:
                        outputs.publish(path)
                    self._sweep()
        finally:
            with suppress(OSError):  # what went wrong before says more; the next run sweeps again
                self._sweep()

    def _sweep(self) -> None:
        for path in self._outs:
            outputs.sweep(path)

    def _guard(self) -> None:
        now = _digest(self._deps, digest_sources(Path()))
        changed = sorted(path for path in self._digests | now if self._digests.get(path) != now.get(path))
        if self._keys:
            now, values = load(), self._values
            differ = [key for key in sorted(self._keys) if attrgetter(key)(now) != attrgetter(key)(values)]
            changed += [f"{key} in {PARAMS}" for key in differ]
        if changed:
            raise UserError(
                f"changed while the stage ran: {', '.join(changed)}; nothing was written\nrun `dvc repro` again"
            )


#: The process ends with the stage: nothing is gained by a last search for garbage in all that it imported.
atexit.register(gc.freeze)


def run(name: str, recipe: Callable[[Stage], None], description: str) -> None:
    """Run a stage as a command: `--help`, the guard, plain errors, exit code 1 for what the user can mend.

    Parameters
    ----------
    name : str
        The stage's name in dvc.yaml.
    recipe : callable
        Takes the `Stage`; reads its inputs, writes its outputs.
    description : str
        For `--help`: the module's docstring.
    """
    with command.plain_errors(name, interrupted="interrupted, nothing was written", before="\n"):
        declared = _declaration(name)
        listed = {
            "settings": declared.get("params", []),
            "reads": [f"the {_template(path)}" if _template(path) else path for path in _paths(declared["deps"])],
            "writes": _paths(declared["outs"]),
        }
        command.parser(
            name,
            f"{description}\n\nNo options: `dvc repro {name}` runs it with whatever it depends on.",
            "\n".join(f"{what}: {', '.join(entries)}" for what, entries in listed.items() if entries),
        ).parse_args()
        with Stage(name) as stage:
            recipe(stage)


def _declaration(name: str) -> Mapping[str, Any]:
    stages = read_yaml(PIPELINE)
    if name not in (found := stages.get("stages") or {} if isinstance(stages, Mapping) else {}):
        raise UserError(f"{PIPELINE} has no stage {name}: `git restore {PIPELINE}` brings it back")
    return found[name]


def _paths(entries: list) -> list[str]:
    """List the paths of deps or outs: each entry is a path, or a path with options."""
    return [next(iter(entry)) if isinstance(entry, Mapping) else entry for entry in entries]


def _template(path: str) -> str | None:
    """Name the setting that a path of dvc.yaml stands for: ``words_file`` for ``${words_file}``."""
    return path[2:-1] if path.startswith("${") else None


def _digest(deps: Sequence[str], sources: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of every file that dependencies name; those of this package, by file or room, are given."""
    digests = {}
    for dep in deps:
        if dep.startswith("stages/"):
            digests |= {path: digest for path, digest in sources.items() if path == dep or path.startswith(f"{dep}/")}
        else:
            files = Path(dep).rglob("*") if Path(dep).is_dir() else [Path(dep)]
            digests |= {path.as_posix(): _digest_file(path) for path in files if not path.is_dir()}
    return digests


def _digest_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path} is not there: run `dvc repro`, which makes it or names what is missing") from None
