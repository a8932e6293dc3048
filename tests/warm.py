"""A `python` that has imported the heavy libraries already: for the many runs in which starting is not the point.

A server imports them once. What takes the place of `python` on the projects' PATH (`ask`) sends it its arguments,
folder, environment and open files; the server forks, and the fork goes on as `python -m MODULE` or `python FILE` would:
a process of its own, with an exit code of its own, which runs DVC or its project's `stages` from the first line. DVC
there spends less on its lock file (`quick_locks`).
Signals go on to it, and when the one who asked is killed, so is the fork. Anything else (`-c`, `-X`) runs in a real
interpreter; so does what is about start-up, imports or kills (`cold` in tests/conftest.py), and all of it where there
is no server. tests/test_warm.py holds the two side by side.
"""

import marshal
import os
import sys

#: What stages and DVC import from elsewhere; `stages` itself is never among it: every fork imports its own project's.
LIBRARIES = [
    *("numpy", "scipy.stats", "scipy.spatial.distance", "pandas", "pandas.io.formats.csvs", "pingouin"),
    *("matplotlib.backends.backend_agg", "matplotlib.figure", "matplotlib.style", "concurrent.futures.process"),
    *("multiprocessing.popen_fork", "multiprocessing.synchronize", "pydantic.root_model", "jinja2", "vl_convert"),
    *("rich.console", "rich.table", "tqdm", "h5py", "ruamel.yaml", "safetensors.numpy"),
    *("torch", "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto"),
    *("transformers.models.gpt2.modeling_gpt2", "transformers.tokenization_utils_tokenizers"),
    *("dvc.cli.parser", "dvc.commands.repro", "dvc.repo.reproduce", "dvc.repo.experiments", "dvc.repo.plots"),
    *("dvc.data_cloud", "dvc.stage.cache", "dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "dulwich.worktree"),
    *("dvc._debug", "dvc.api", "dvc.cachemgr", "dvc.dirs", "dvc.render.match", "dvc.repo.artifacts"),
    *("dvc.repo.brancher", "dvc.repo.datasets", "dvc.repo.experiments.executor.local", "dvc.repo.experiments.show"),
    *("dvc.repo.experiments.queue.celery", "dvc.repo.experiments.queue.workspace", "dvc.repo.graph"),
    *("dvc.repo.index", "dvc.repo.open_repo", "dvc.repo.stage", "dvc_data.hashfile.status", "dvc_data.index.push"),
    *("networkx", "requests", "dulwich.porcelain", "scmrepo.git.backend.pygit2.filter", "scmrepo.fs"),
    *("fsspec.implementations.memory", "importlib.resources.readers", "rich._emoji_codes", "PIL.GifImagePlugin"),
]
LARGEST = 1 << 17


def ask(address: str, arguments: list[str]) -> None:
    """Run what `python *arguments` would, by the server at this address; leave with its exit code or signal."""
    import _signal
    from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket  # the modules around them take longer
    from array import array

    server = socket(AF_UNIX, SOCK_SEQPACKET)
    try:
        if not (arguments[:1] == ["-m"] or (arguments and arguments[0].endswith(".py"))):
            raise ConnectionError
        server.connect(address)
    except OSError:
        os.execv(sys.executable, [sys.executable, *arguments])
    handed_on = (_signal.SIGINT, _signal.SIGTERM)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, handed_on)  # what comes before the fork is known waits
    asked = marshal.dumps((arguments, os.getcwd(), dict(os.environ)))  # noqa: PTH109
    server.sendmsg([asked], [(SOL_SOCKET, SCM_RIGHTS, array("i", [0, 1, 2]))])
    for number in handed_on:
        _signal.signal(number, lambda number, _: server.send(bytes([number])))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, handed_on)
    code = marshal.loads(server.recv(LARGEST) or marshal.dumps(1))
    if code < 0:
        if code != -_signal.SIGKILL:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def quick_locks() -> None:
    """Let DVC read dvc.lock by its YAML package's C library, and write again only what changed of it.

    It does both after every stage, by a package in Python that keeps comments: a third of a second, and there are none.
    """
    from dvc.utils.serialize import _yaml

    parse_slowly, dump_slowly = _yaml.parse_yaml_for_update, _yaml._dump
    written: dict[str, str] = {}

    def write(**part: object) -> str:
        key = repr(part)
        if key not in written:
            text = io.StringIO()
            dump_slowly(part, text)
            written[key] = text.getvalue()
        return written[key]

    def parse(text: str, path: str) -> dict:
        return (_yaml.parse_yaml if str(path).endswith("dvc.lock") else parse_slowly)(text, path)

    def dump(data: dict, stream: io.TextIOWrapper) -> None:
        if not str(stream.name).endswith("dvc.lock"):
            return dump_slowly(data, stream)
        stages = [write(stages={name: stage}).removeprefix("stages:\n") for name, stage in data["stages"].items()]
        stream.write("".join([write(schema=data["schema"]), "stages:\n", *stages]))

    _yaml.parse_yaml_for_update, _yaml._dump = parse, dump


def serve(address: str) -> None:
    """Import the libraries when the first one asks; fork for every one, until standard input closes.

    Signals go on to the fork, and its end back to the one who asked.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    imported = False
    forks: dict[int, tuple[int, socket.socket]] = {}  # what ends with the fork → its process, and who asked
    while True:
        asking = {connection: pid for pid, connection in forks.values()}
        ready, _, _ = select.select([0, listener, *forks, *asking], [], [])
        if 0 in ready:
            return
        for connection in asking.keys() & ready:
            number = connection.recv(1)
            with contextlib.suppress(ProcessLookupError):
                os.kill(asking[connection], number[0] if number else signal.SIGKILL)  # nothing: who asked was killed
        for ended in forks.keys() & ready:
            pid, connection = forks.pop(ended)
            os.close(ended)
            with contextlib.suppress(BrokenPipeError), connection:
                connection.send(marshal.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
        if listener in ready:
            if not imported:
                prepare()
                imported = True
            connection, _ = listener.accept()
            message, files, _, _ = socket.recv_fds(connection, LARGEST, 3)
            pid = os.fork()
            if pid == 0:
                for other in (listener, connection, *asking):
                    other.close()
                return run(*marshal.loads(message), files)
            for file in files:
                os.close(file)  # a pipe ends when the last one who holds it does
            forks[os.pidfd_open(pid)] = pid, connection


def prepare() -> None:
    """Import the libraries, and have forks begin and end without touching what they share with the server."""
    gc.disable()
    for name in LIBRARIES:
        importlib.import_module(name)
    quick_locks()
    weakref.finalize._registry.clear()
    gc.enable()
    gc.freeze()  # a collection in a fork would copy every page


def run(arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """Become the process that was asked for."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    code: object = None
    try:
        if arguments[0] == "-m":
            sys.argv, sys.path[0] = arguments[1:], folder
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = arguments, str((Path(folder) / arguments[0]).parent)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        traceback.print_exc()
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)  # an interpreter that is taken down tidily would copy every page


if __name__ == "__main__":
    if sys.argv[1] == "compile":
        import importlib

        sys.path[0] = os.getcwd()  # noqa: PTH109
        sys.dont_write_bytecode = False  # whatever the environment says: this is what we are here for
        names = [*LIBRARIES, "stages.models.capture", "stages.models.load"]  # what cold runs import, too
        other = os.fork()  # two begin at either end: what one has compiled, the other reads
        for name in names if other else reversed(names):
            importlib.import_module(name)
        if other:
            os.waitpid(other, 0)
    elif sys.argv[1] == "serve":
        import atexit
        import contextlib
        import gc
        import importlib
        import io
        import runpy
        import select
        import signal
        import socket
        import threading
        import traceback
        import weakref
        from pathlib import Path

        serve(sys.argv[2])
    else:
        ask(sys.argv[2], sys.argv[3:])
