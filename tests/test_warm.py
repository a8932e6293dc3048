"""The warm `python` of tests/warm.py does what a real one does: output, exit code, signals, modules of its folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import WARM, Project

pytestmark = pytest.mark.skipif(WARM not in os.environ, reason="forking with libraries loaded is safe on Linux only")

PROGRAMS = {
    "ends well": "atexit.register(print, 'end'); print(sys.argv, os.getcwd(), os.environ['MARK'], sys.stdin.read())",
    "exit code": "print('said'); sys.exit(3)",
    "exit message": "sys.exit('in words')",
    "error": "1 / 0",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
    "a thread goes on": "threading.Timer(0.1, print, ['later']).start()",
    "a module of its folder": "import own, stages; print(own.VALUE, stages.__file__, __name__, sys.path[0])",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "own.py").write_text("VALUE = 'own'", encoding="utf-8")
    project = Project(tmp_path)
    project.env["MARK"] = "mark"
    return project


def write(project: Project, program: str) -> None:
    text = f"import atexit, os, signal, sys, threading, time\n{program}\n"
    (project.root / "program.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("how", [("-m", "program"), ("program.py",)], ids=["module", "file"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_warm_and_real_do_the_same(project: Project, name: str, how: tuple[str, ...]) -> None:
    write(project, PROGRAMS[name])
    command = (sys.executable, *how, "one", "two words")
    warm, real = (project.run(*command, cold=cold, check=False, input="typed") for cold in (False, True))
    assert (warm.returncode, warm.stdout) == (real.returncode, real.stdout)
    assert warm.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]  # above it are the frames of a traceback


def test_the_libraries_are_there_and_code_on_the_command_line_runs_in_a_real_one(project: Project) -> None:
    write(project, "print('torch' in sys.modules, 'stages' in sys.modules)")
    assert project.run(sys.executable, "program.py").stdout == "True False\n"
    assert project.run(sys.executable, "-c", "import sys; print('torch' in sys.modules)").stdout == "False\n"


#: The signal may come before `print` has returned.
WAITING = """
try:
    print(os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_the_fork(project: Project, number: signal.Signals) -> None:
    write(project, WAITING)
    asking = subprocess.Popen(
        [Path(os.environ[WARM]) / "python", "program.py"], cwd=project.root, stdout=subprocess.PIPE, text=True
    )
    fork = psutil.Process(int(asking.stdout.readline()))
    asking.send_signal(number)
    asking.communicate()
    assert asking.returncode == (130 if number == signal.SIGINT else -number)
    psutil.wait_procs([fork], timeout=20)
    assert not fork.is_running()


def test_dvc_writes_the_same_lock(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("git", "init", "-q")
    project.dvc("init", "-q")
    stages = {
        "first": {"cmd": "echo 'a: \"b\" # c' > data", "outs": ["data"], "params": ["text", "list", "numbers"]},
        "second": {"cmd": "mkdir folder && cp data folder", "deps": ["data"], "outs": ["folder"], "desc": "of ü"},
    }
    settings = {
        "text": "null",
        "list": ["a: b", "", None],
        "numbers": {"day": "2020-01-01", "n": 1e-5, "long": "x y " * 60},
    }
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    (tmp_path / "params.yaml").write_text(json.dumps(settings), encoding="utf-8")
    locks = []
    for cold in (False, True):
        project.dvc("repro", "--force", cold=cold)
        locks.append((tmp_path / "dvc.lock").read_bytes())
        (tmp_path / "dvc.lock").unlink()
    assert locks[0] == locks[1]
