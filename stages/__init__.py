"""The pipeline: one module a stage (`python -m stages.rsa` runs stage rsa), and the rooms that the stages share."""

import hashlib
from pathlib import Path

_HERE = Path(__file__).parent

#: Digest of every file of this package, taken before any other of its modules is imported: what a stage's guard
#: compares with at the end (stages/stage.py). Taken any later, an edit during the imports would go unnoticed.
SOURCES = {
    path.relative_to(_HERE.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(_HERE.rglob("*"))
    if path.suffix in {".py", ".mplstyle", ".html", ".css", ".js"}
}
