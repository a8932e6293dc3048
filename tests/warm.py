"""A `python` that has imported the heavy libraries already: a stage starts in a tenth of a second instead of one.

`serve` imports them once. `ask`, which takes the place of `python` on the projects' PATH, sends it its arguments,
folder, environment and open files; a fork goes on as `python -m MODULE` or `python FILE` would: a process of its own,
which runs DVC or its project's `stages` from the first line and changes nothing of them. Anything else (`-c`, `-X`)
runs in a real interpreter, and so does what is about start-up or kills (`cold` in tests/conftest.py): signals do not
reach a fork.
"""

import marshal
import os
import sys

#: What stages and DVC import from elsewhere; `stages` itself is never among it: every fork imports its own project's.
LIBRARIES = """
numpy scipy.stats scipy.spatial.distance pandas pandas.io.formats.csvs pingouin pydantic.root_model jinja2 vl_convert
matplotlib.backends.backend_agg matplotlib.figure matplotlib.style concurrent.futures.process multiprocessing.popen_fork
multiprocessing.synchronize rich.console rich.table rich._emoji_codes tqdm h5py ruamel.yaml safetensors.numpy torch
transformers.models.auto.modeling_auto transformers.models.auto.tokenization_auto PIL.GifImagePlugin
transformers.models.gpt2.modeling_gpt2 transformers.tokenization_utils_tokenizers importlib.resources.readers networkx
dvc._debug dvc.api dvc.cachemgr dvc.cli.parser dvc.commands.repro dvc.data_cloud dvc.dirs dvc.render.match
dvc.repo.artifacts dvc.repo.brancher dvc.repo.datasets dvc.repo.experiments.executor.local dvc.repo.experiments.show
dvc.repo.experiments.queue.celery dvc.repo.experiments.queue.workspace dvc.repo.graph dvc.repo.open_repo dvc.repo.plots
dvc.repo.reproduce dvc.repo.stage dvc.stage.cache dvc.utils.strictyaml dvc_data.hashfile.db.local dvc_data.index.push
dvc_data.hashfile.status dulwich.porcelain dulwich.worktree fsspec.implementations.memory requests scmrepo.fs
scmrepo.git.backend.pygit2.filter
"""
LARGEST = 1 << 17


def ask(address: str, arguments: list[str]) -> None:
    """Have the server at this address run what `python *arguments` would, and leave with its exit code."""
    from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket  # the modules around them take longer
    from array import array

    if arguments[:1] != ["-m"] and not arguments[0].endswith(".py"):
        os.execv(sys.executable, [sys.executable, *arguments])
    server = socket(AF_UNIX, SOCK_SEQPACKET)
    server.connect(address)
    asked = marshal.dumps((arguments, os.getcwd(), dict(os.environ)))  # noqa: PTH109
    server.sendmsg([asked], [(SOL_SOCKET, SCM_RIGHTS, array("i", [0, 1, 2]))])
    code = server.recv(1)
    os._exit(code[0] if code else 1)  # nothing comes from a fork that was killed


def serve(address: str) -> None:
    """Import the libraries when the first one asks; fork for every one, until standard input closes."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    while 0 not in select.select([0, listener], [], [])[0]:
        if "torch" not in sys.modules:
            prepare()
        connection, _ = listener.accept()
        message, files, _, _ = socket.recv_fds(connection, LARGEST, 3)
        if os.fork() == 0:
            listener.close()
            return become(*marshal.loads(message), files, connection)
        for file in files:
            os.close(file)  # a pipe ends when the last one who holds it does
        connection.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    os.killpg(0, signal.SIGKILL)  # forks of tests that were interrupted, too


def prepare() -> None:
    """Import the libraries, and have forks begin and end without touching what they share with the server."""
    gc.disable()
    for name in LIBRARIES.split():
        importlib.import_module(name)
    weakref.finalize._registry.clear()
    sys.dont_write_bytecode = True
    gc.enable()
    gc.freeze()  # a collection in a fork would copy every page


def become(
    arguments: list[str], folder: str, environment: dict[str, str], files: list[int], connection: "socket.socket"
) -> None:
    """Become the process that was asked for; its exit code goes to the one who asked."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
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
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(bytes([(code or 0) & 255]))
    os._exit(0)  # an interpreter that is taken down tidily would copy every page


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(sys.argv[2], sys.argv[3:])
    import atexit
    import contextlib
    import gc
    import importlib
    import runpy
    import select
    import signal
    import socket
    import threading
    import traceback
    import weakref
    from pathlib import Path

    serve(sys.argv[2])
