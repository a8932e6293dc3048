"""What all commands share: the list of them, `--help`, colour where a terminal allows it, exit codes."""

import io
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project
from ruamel.yaml import YAML

from stages.__main__ import main
from stages.pipeline.command import plain_errors, warn
from stages.pipeline.errors import UserError

STAGES = list(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
COMMANDS = ["compare", "export", "gate"]


def test_stages_and_commands_are_listed(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    main()
    lines = capsys.readouterr().out.splitlines()
    entries = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert [name for name, _ in entries] == STAGES + COMMANDS
    assert {path.parent.name for path in ROOT.glob("stages/*/__main__.py")} == set(COMMANDS)
    assert all(len(description) > 20 for _, description in entries)
    assert max(map(len, lines)) <= 120


def test_elsewhere_the_list_says_where_to_run_it(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "stages: dvc.yaml is missing: run this in the repository's own folder\n"


@pytest.mark.parametrize("command", ["", *(f".{command}" for command in COMMANDS)])
def test_the_module_is_the_command(command: str, tiny: Project) -> None:
    done = tiny.run(sys.executable, "-m", f"stages{command}", *(["--help"] if command else []))
    assert done.stdout.startswith(f"usage: python -m stages{command} " if command else "Stages")
    assert max(map(len, done.stdout.splitlines())) <= 120


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_mistakes_are_red_where_the_terminal_allows_it(stream, environment, coloured, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    warn("rsa: wrong")
    assert sys.stderr.getvalue() == ("\033[1;31mrsa: wrong\033[0m\n" if coloured else "rsa: wrong\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("this\nthat"), 3, "\nrsa: this\nthat\n"),
        (FloatingPointError("NaN"), 3, "\nrsa: NaN\n"),
        (KeyboardInterrupt(), 130, "\nrsa: stopped\n"),
    ],
)
def test_mistakes_end_with_their_exit_code(error: BaseException, code: int, said: str, capsys) -> None:
    with pytest.raises(SystemExit) as exit_, plain_errors("rsa", code=3, interrupted="stopped", before="\n"):
        raise error
    assert (exit_.value.code, capsys.readouterr().err) == (code, said)


def test_an_error_of_the_code_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError), plain_errors("rsa"):
        raise RuntimeError
