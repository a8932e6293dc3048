"""The pipeline: one module a stage (`python -m stages.rsa` runs stage rsa), and the rooms that the stages share."""

import hashlib
from pathlib import Path


def digest_sources(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every source file of this package, by its path from the repository's `root`."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "stages").rglob("*"))
        if path.suffix in {".py", ".mplstyle", ".html", ".css", ".js"}
    }


#: Taken before any other module of this package is imported: what a stage's guard compares with at the end
#: (stages/pipeline/stage.py). Taken any later, an edit during the imports would go unnoticed.
SOURCES = digest_sources(Path(__file__).parents[1])
