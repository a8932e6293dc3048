"""How every stage runs: it gets what dvc.yaml declares for it and nothing else, and publishes when it ends well."""

import atexit
import gc
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages import SOURCES, digest_sources
from stages.pipeline import command, messages, mistakes, outputs
from stages.pipeline.errors import UserError
from stages.pipeline.settings import PARAMS, by_key, load, read_yaml

PIPELINE = Path("dvc.yaml")


class Declared:
    """The settings that a stage declares in dvc.yaml; reading another is an error of the code: DVC would not rerun."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._values, self._prefix = values, prefix

    def __getattr__(self, name: str) -> Any:
        key = self._prefix + name
        if key in self._values:
            return self._values[key]
        if any(declared.startswith(f"{key}.") for declared in self._values):
            return Declared(self._values, f"{key}.")
        raise AttributeError(f"{key} is not among this stage's params in {PIPELINE}")


class Stage:
    """One run of a stage, named as in dvc.yaml: what it may read, where it writes, and the guard between the two.

    A context manager. On a clean exit the guard looks again at dependencies and parameters: DVC records them as they
    are when a stage *ends*, so that a file edited meanwhile would leave a green lock over stale data. Unless something
    changed, the temporary files are renamed to the outputs, one after the other; otherwise, and after any error, they
    are removed and the earlier outputs stay. After a kill between two renames the lock fits neither: DVC runs it again.

    Raises
    ------
    UserError
        If the settings have a mistake, a dependency is missing, or something changed during the run.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._params, deps, self._outs = _declaration(name)
        self._all = by_key(load())
        self._deps = list(map(self._resolve, deps))
        self.values = self._chosen(self._all)
        self.settings = Declared(self.values)
        # Of this package as it was before anything of it was imported, of other files as they are now.
        self._digests = self._digest(SOURCES)
        self._written: set[str] = set()

    def _resolve(self, path: str) -> str:
        """Replace ``${key}`` by that setting: DVC's way to depend on a file that the user names."""
        if not path.startswith("${"):
            return path
        key = path[2:-1]
        if mistake := mistakes.in_path(key, self._all[key], self._outs):
            raise UserError(mistake)
        return self._all[key]

    def _chosen(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Cut settings down to the keys and sections that the stage declares."""
        return {key: value for key, value in values.items() if {key, key.partition(".")[0]} & set(self._params)}

    def ahead(self, key: str) -> Any:
        """Return a setting of later stages, to refuse it in time; what this stage writes must not depend on it."""
        return self._all[key]

    def input(self, path: str) -> Path:
        """Return the path of a declared dependency, or of a file in one."""
        if not any(path == dep or path.startswith(f"{dep}/") for dep in self._deps):
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
        outputs.sweep(self._outs)  # what a killed run left behind
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._guard()
                if unwritten := set(self._outs) - self._written:
                    raise AssertionError(f"stage {self.name} did not write {', '.join(sorted(unwritten))}")
                with command.signals_held(messages.ALL_WRITTEN):
                    for path in self._outs:
                        outputs.publish(path)
                    outputs.sweep(self._outs)
        finally:
            with suppress(OSError):  # what went wrong before says more; the next run sweeps again
                outputs.sweep(self._outs)

    def _guard(self) -> None:
        now = self._digest(digest_sources(Path()))
        changed = sorted(path for path in self._digests | now if self._digests.get(path) != now.get(path))
        values = self._chosen(by_key(load())) if self.values else {}
        changed += [f"{key} in {PARAMS}" for key in sorted(values) if values[key] != self.values[key]]
        if changed:
            raise UserError(messages.CHANGED.format(", ".join(changed)))

    def _digest(self, sources: Mapping[str, str]) -> dict[str, str]:
        """Return the digest of every file that dependencies name; those of this package are given."""
        digests = {}
        for dep in self._deps:
            if dep.startswith("stages/"):
                digests |= {path: found for path, found in sources.items() if f"{path}/".startswith(f"{dep}/")}
            else:
                digests |= {path.as_posix(): digest_file(path) for path in _files(Path(dep))}
        return digests


#: The process ends with the stage: nothing is gained by a last search for garbage in all that it imported.
atexit.register(gc.freeze)


def run(name: str, recipe: Callable[[Stage], None], description: str) -> None:
    """Run the stage `name` of dvc.yaml as a command, which ends with exit code 1 after what the user can mend.

    `recipe` takes the `Stage`, reads its inputs and writes its outputs; `--help` shows the `description`.
    """
    with command.plain_errors(name, interrupted=messages.INTERRUPTED, before="\n"):
        said = f"{description}\n\nNo options: `dvc repro {name}` runs it with whatever it depends on."
        listed = zip(("settings", "reads", "writes"), _declaration(name), strict=True)
        declared = "\n".join(f"{what}: {', '.join(entries)}" for what, entries in listed if entries)
        command.parser(name, said, re.sub(r"\$\{(.+?)\}", r"the \1", declared)).parse_args()
        with Stage(name) as stage:
            recipe(stage)


def _declaration(name: str) -> list[list[str]]:
    """List the params, deps and outs of a stage of dvc.yaml: each entry is a key or path, or a path with options."""
    try:
        stage = read_yaml(PIPELINE)["stages"][name]
        entries = [stage.get(what, []) for what in ("params", "deps", "outs")]
        return [[next(iter(entry)) if isinstance(entry, Mapping) else entry for entry in listed] for listed in entries]
    except (KeyError, TypeError, AttributeError):  # something is left out, or another thing
        raise UserError(messages.NO_STAGE.format(name)) from None


def _files(path: Path) -> list[Path]:
    """Return a file, or those of a folder that are neither hidden nor pages for people, much as in .dvcignore."""
    if not path.is_dir():
        return [path]
    return [f for f in path.rglob("*") if not (f.is_dir() or f.suffix == ".md" or f.name.startswith("."))]


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file; a `UserError` if it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(messages.NOT_THERE.format(path)) from None
