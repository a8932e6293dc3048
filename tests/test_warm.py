"""The warm `python` of tests/warm.py does what a real one does: output, exit code, modules of its folder."""

import os
import sys
from pathlib import Path

import pytest
from conftest import WARM, Project

pytestmark = pytest.mark.skipif(WARM not in os.environ, reason="forking with libraries loaded is safe on Linux only")

PROGRAMS = [
    "atexit.register(print, 'end'); print(sys.argv, os.getcwd(), os.environ['MARK'], sys.stdin.read())",
    "print('said'); sys.exit(3)",
    "sys.exit('in words')",
    "1 / 0",
    "threading.Timer(0.1, print, ['later']).start()",
    "import own, stages; print(own.VALUE, stages.__file__, __name__, sys.path[0])",
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "own.py").write_text("VALUE = 'own'", encoding="utf-8")
    project = Project(tmp_path)
    project.env["MARK"] = "mark"
    return project


@pytest.mark.parametrize("how", [("-m", "program"), ("program.py",)], ids=["module", "file"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_warm_and_real_do_the_same(project: Project, program: str, how: tuple[str, ...]) -> None:
    text = f"import atexit, os, sys, threading\n{program}\n"
    (project.root / "program.py").write_text(text, encoding="utf-8")
    command = (sys.executable, *how, "one", "two words")
    warm, real = (project.run(*command, cold=cold, check=False, input="typed") for cold in (False, True))
    assert (warm.returncode, warm.stdout) == (real.returncode, real.stdout)
    assert warm.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]  # above it are the frames of a traceback


def test_libraries_alone_are_warm_and_a_fork_that_is_killed_is_a_failure(project: Project) -> None:
    asked = "import sys; print('torch' in sys.modules, 'stages' in sys.modules)"
    (project.root / "program.py").write_text(asked, encoding="utf-8")
    assert project.run(sys.executable, "program.py").stdout == "True False\n"
    assert project.run(sys.executable, "-c", asked).stdout == "False False\n"
    (project.root / "program.py").write_text("import os; os.kill(os.getpid(), 9)", encoding="utf-8")
    assert project.run(sys.executable, "program.py", check=False).returncode == 1
