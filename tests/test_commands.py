"""What all commands share: the list of them, `--help`, colour where a terminal allows it, exit codes."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project

from stages import __main__ as listing
from stages.__main__ import POST
from stages.pipeline.command import ENDS, plain_errors, warn
from stages.pipeline.errors import UserError
from stages.pipeline.messages import NO_DOCSTRINGS, NO_MEMORY_OF_TORCH, TWO_RUNS

STAGES = list(Project(ROOT).pipeline)
COMMANDS = ["compare", "export", "gate"]


def test_stages_and_commands_are_listed(in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = in_process(listing)[1].splitlines()
    entries = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert [name for name, _ in entries] == STAGES + COMMANDS
    assert all(len(description) > 20 for _, description in entries)
    assert lines.index("Beyond the post:") == lines.index("The post, in the order in which to read it:") + len(POST) + 2


def test_elsewhere_the_list_says_where_to_run_it(tmp_path: Path, in_process, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_process(listing) == (1, "", "stages: dvc.yaml is missing: run this in the repository's own folder\n")


@pytest.mark.parametrize("command", ["", *(f".{command}" for command in COMMANDS)])
def test_the_module_is_the_command(command: str, tiny: Project) -> None:
    done = tiny.run(sys.executable, "-m", f"stages{command}", *(["--help"] if command else []))
    assert done.stdout.startswith(f"usage: python -m stages{command} " if command else "Stages")
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_mistakes_are_red_where_the_terminal_allows_it(terminal, environment, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(os, "environ", environment)
    warn("rsa: wrong")
    red = terminal and environment == {"TERM": "xterm"}
    assert capsys.readouterr().err == ("\033[1;31mrsa: wrong\033[0m\n" if red else "rsa: wrong\n")


#: What torch says on a processor, on Windows, on Apple's; that of CUDA is test_errors'.
NO_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
    "MPS backend out of memory (MPS allocated: 8.00 GB)",
)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("this\nthat"), 3, "\nrsa: this\nthat\n"),
        (KeyboardInterrupt(), 130, "\nrsa: stopped\n"),
        (MemoryError("Unable to allocate 7 GiB"), 3, "\nrsa: not enough memory: Unable to allocate 7 GiB\n"),
        (MemoryError(), 3, "\nrsa: not enough memory\n"),
        *((RuntimeError(said), 3, f"\nrsa: {NO_MEMORY_OF_TORCH}\n") for said in NO_MEMORY),
        (OSError(errno.ENOSPC, "full"), 3, "\nrsa: No space left on device\n"),
        (OSError(errno.EROFS, "", "data/x.tmp"), 3, "\nrsa: data/x.tmp: Read-only file system\n"),
        (PermissionError(errno.EACCES, "", "data/x.tmp"), 3, "\nrsa: data/x.tmp: Permission denied\n"),
        (FileNotFoundError(errno.ENOENT, "", "data/.x.tmp"), 3, f"\nrsa: {TWO_RUNS.format('data/.x.tmp')}\n"),
    ],
)
def test_mistakes_end_with_their_exit_code(error: BaseException, code: int, said: str, capsys) -> None:
    handlers = [signal.getsignal(number) for number in ENDS]
    with pytest.raises(SystemExit) as exit_, plain_errors("rsa", code=3, interrupted="stopped", before="\n"):
        raise error
    assert [signal.getsignal(number) for number in ENDS] == handlers
    assert (exit_.value.code, capsys.readouterr().err) == (code, said)


@pytest.mark.parametrize("error", [RuntimeError(), FileNotFoundError(errno.ENOENT, "", "stages/rsa.py")])
def test_an_error_of_the_code_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), plain_errors("rsa"):
        raise error


#: A fork ends at once and says nothing. As by `python -m`, garbage is left alone until all is imported.
SIGNALS = """
import gc, os, signal, sys, time; sys.argv = ["-m"]
from stages.pipeline.command import plain_errors
alone = not gc.isenabled()
os.environ["NO_COLOR"] = "1"
with plain_errors("rsa"):
    begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begun[1], b".")
        time.sleep(60)
    os.read(begun[0], 1)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    print("ready" if alone and gc.isenabled() else "garbage", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals on Windows")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_a_command_in_order(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", SIGNALS], cwd=ROOT, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate()[1] == "rsa: interrupted\n"
    assert process.returncode == 130


def test_what_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nohup python -m stages.capture` goes on when the terminal closes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with plain_errors("rsa"):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


BEFORE_IT_BEGINS = {
    "interrupted, nothing was written": "import signal; signal.raise_signal(signal.SIGINT)",
    "not enough memory to begin, nothing was written": "raise MemoryError",
    "MPLBACKEND: Key backend: 'x' is not": "import matplotlib; matplotlib.rcParams['backend'] = 'x'",
    "lacks none_such: run `. .venv/bin/activate` first, or": "import none_such",
    "stages/pipeline/none.py cannot be read: Is a directory": None,
}


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a process in another way on Windows")
@pytest.mark.parametrize("said", BEFORE_IT_BEGINS)
def test_what_ends_a_command_while_it_imports_is_told_in_a_line(tiny: Project, said: str) -> None:
    """Ctrl-C, the `python` of no environment, as where `dvc` is called by its path, a source that may not be read."""
    if line := BEFORE_IT_BEGINS[said]:
        (tiny.root / "stages/pipeline/errors.py").write_text(f"{line}\n", encoding="utf-8")
    else:
        (tiny.root / "stages/pipeline/none.py").mkdir()
    done = tiny.run(sys.executable, "-m", "stages.rsa", check=False, cold=True)
    assert said in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (-signal.SIGINT if "interrupted" in said else 1, 1)


@pytest.mark.skipif(os.name == "nt", reason="a shell of its own")
def test_a_closed_console_and_python_without_docstrings(tiny: Project) -> None:
    """`python -m stages.rsa >&-`, `python -OO -m stages.check`."""
    for command, code in (
        ("stages.check >&-", 0),
        ("stages.compare HEAD HEAD >&-", 0),
        ("stages.rsa --none >&- 2>&-", 2),
    ):
        done = tiny.run("sh", "-c", f'"$0" -m {command}', sys.executable, check=False, cold=True)
        assert (done.returncode, done.stderr) == (code, ""), command
    done = tiny.run(sys.executable, "-OO", "-m", "stages.check", check=False, cold=True)
    assert (done.returncode, done.stderr.strip()) == (1, f"check: {NO_DOCSTRINGS}")


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes on Windows")
def test_a_reader_that_has_seen_enough_is_no_error(tiny: Project) -> None:
    """`python -m stages | head -1`."""
    read, write = os.pipe()
    os.close(read)
    done = tiny.run(
        sys.executable, "-m", "stages", check=False, cold=True, capture_output=False, stdout=write, stderr=-1
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_letters_that_the_console_lacks_are_written_as_codes(tiny: Project) -> None:
    tiny.env["PYTHONIOENCODING"] = "cp1252"
    (tiny.root / "Łódź.csv").write_text("word,category\npear,a\nlime,a\nsaw,b\naxe,b\nfile,b\n", encoding="utf-8")
    tiny.set(words_file="Łódź.csv")
    done = tiny.run(sys.executable, "-m", "stages.check", cold=True, encoding="cp1252")
    assert done.stdout == "\\u0141ód\\u017a.csv: 5 words in 2 categories\n"
    (tiny.root / "Łódź.csv").unlink()
    done = tiny.run(sys.executable, "-m", "stages.check", cold=True, check=False, encoding="cp1252")
    assert done.stderr == "\ncheck: words_file: there is no file \\u0141ód\\u017a.csv\n"
