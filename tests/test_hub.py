"""Loading from the hub: the real client against a small server on this machine that speaks the hub's language."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIServer, make_server

import pytest
from conftest import ROOT

MINI = ROOT / "data/models/gpt2-mini"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {name: (MINI / name).read_bytes() for name in ("config.json", "model.safetensors", "tokenizer.json")}
FILES["pytorch_model.bin"] = b"pickled code: must never be fetched"
FILES["modeling_mini.py"] = b"code: must never be fetched"


@pytest.fixture
def hub() -> Iterator[WSGIServer]:
    """Serve one repository, org/mini, at one commit, and org/bare, the same without weights in safetensors format."""

    def answer(request: dict, start: Callable) -> list[bytes]:
        path, bare = request["PATH_INFO"].replace("/org/bare", "/org/mini"), "/org/bare" in request["PATH_INFO"]
        files = {name: content for name, content in FILES.items() if not (bare and name.endswith("safetensors"))}
        status, headers, content, name = "200 OK", {}, b"", path.rpartition("/")[2]
        if path in (f"/api/models/org/mini/revision/{revision}" for revision in ("main", COMMIT)):
            listed = [{"rfilename": name} for name in files]
            content = json.dumps({"id": "org/mini", "sha": COMMIT, "siblings": listed}).encode()
        elif path == f"/api/models/org/mini/tree/{COMMIT}":
            content = json.dumps([{"type": "file", "path": n, "size": len(files[n]), "oid": n} for n in files]).encode()
        elif path == f"/org/mini/resolve/{COMMIT}/{name}" and name in files:
            server.fetched.add(name)
            content = files[name]
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        else:
            kind = "Revision" if path.startswith("/api/models/org/mini/revision/") else "Repo"
            status, headers = "404 Not Found", {"X-Error-Code": f"{kind}NotFound"}
        start(status, [*headers.items(), ("Content-Length", str(len(content)))])
        return [content] if request["REQUEST_METHOD"] == "GET" else []

    server = make_server("127.0.0.1", 0, answer)
    server.fetched = set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


LOAD = """
import json, sys
sys.path.append("tests")
from stages.pipeline.errors import UserError
from tiny_models import load
for line in sys.stdin:
    name, revision = line.split()
    try:
        loaded = load(name, revision=revision, dtype="float32")
        tokens = len(loaded.tokenizer("The next word is moon")["input_ids"])
        found = {**loaded.provenance, "tokens": tokens}
    except UserError as error:
        found = {"error": str(error)}
    print("loaded:" + json.dumps(found), flush=True)
"""


@contextlib.contextmanager
def loading(port: int, home: Path, **env: str) -> Iterator[Callable[[str, str], dict]]:
    """Load names and revisions in a process of its own: the client reads its environment when imported."""
    inherited = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment = {**inherited, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(home), **env}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LOAD], cwd=ROOT, env=environment, **pipes) as running:

        def load(name: str, revision: str) -> dict:
            print(name, revision, file=running.stdin, flush=True)
            line = next(line for line in running.stdout if line.startswith("loaded:"))
            return json.loads(line.removeprefix("loaded:"))

        yield load
        running.stdin.close()
    assert running.returncode == 0


def test_a_hub_model_is_fetched_once_its_commit_recorded_and_what_is_not_there_is_told(
    hub: WSGIServer, tmp_path: Path
) -> None:
    port = hub.server_address[1]
    with loading(port, tmp_path) as load:
        found = load("org/mini", "main")
        assert found.get("revision") == COMMIT, found
        assert found["weights"] == {"model.safetensors": hashlib.sha256(FILES["model.safetensors"]).hexdigest()}
        assert found["tokens"] == 5
        assert hub.fetched == {"config.json", "model.safetensors", "tokenizer.json"}
        assert "org/bare has no weights in safetensors format" in load("org/bare", "main")["error"]
        assert "org/none here, and no model of that name" in load("org/none", "main")["error"]
        assert "model.revision: org/mini has no revision 'v9'" in load("org/mini", "v9")["error"]
        hub.shutdown()
        hub.server_close()
        said = load("gpt2-xl", "main")["error"]  # no network says how to get the model
        assert "no folder gpt2-xl here, and the Hugging Face hub cannot be reached" in said
        assert "hf download gpt2-xl --revision main" in said
        assert len(said.splitlines()) == 2
    with loading(port, tmp_path, HF_HUB_OFFLINE="1") as load:
        assert load("org/mini", "main") == found
        for pattern in ("model.safetensors", f"**/trees/*{COMMIT}*"):  # known to be incomplete, and not known to be
            for file in tmp_path.rglob(pattern):
                file.unlink()
            said = load("org/mini", "main")["error"]
            assert (
                "org/mini is in the cache without all its files, and the Hugging Face hub cannot be reached\n" in said
            )
            assert "hf download org/mini --revision main" in said
