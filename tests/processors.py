"""Does every processor give the same bytes? `python tests/processors.py` runs the pipeline with three instruction sets.

Older processors are this one with newer instructions switched off in the libraries. Every table, summary and figure is
compared with the committed one, every tensor with those of the first set.
"""

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: The variables by which PyTorch, MKL, oneDNN, OpenBLAS and NumPy leave out instructions; elsewhere than on x86-64 they
#: do nothing.
SETS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL",
    },
    "SSE4.2": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    },
}


def start(root: Path, instructions: str, stages: Sequence[str]) -> subprocess.Popen:
    """Start to run stages of a copy of the repository, in their order, in one process.

    Its last line is what PyTorch calls the instructions that it used.
    """
    return subprocess.Popen(
        [sys.executable, __file__, *stages],
        cwd=root,
        env={**os.environ, **SETS[instructions], "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(root: Path) -> dict[str, bytes]:
    """Return every table, summary, figure and tensor of a run, by name."""
    kinds = ("metrics/*.csv", "metrics/*.json", "plots/figures/*.png", "data/*.safetensors")
    return {path.relative_to(root).as_posix(): path.read_bytes() for kind in kinds for path in sorted(root.glob(kind))}


def main() -> int:
    """Run the whole pipeline with each set, at once, and compare."""
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import ROOT, copy_repository

    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder) / str(place) for place, name in enumerate(SETS)}
        committed = outputs(ROOT)
        copies = [copy_repository(root) for root in roots.values()]
        # The report holds the lock's digests and the library that draws its charts: nothing is computed in it.
        stages = [stage for stage in copies[0].repro("--dry", "--force") if stage != "report"]
        running = {name: start(roots[name], name, stages) for name in SETS}
        said = {name: process.communicate() for name, process in running.items()}
        if failed := [name for name, process in running.items() if process.returncode]:
            print(*(f"{name}: {said[name][1]}" for name in failed))
            return 1
        used = {name: log.splitlines()[-1] for name, (log, _) in said.items()}
        if used["as it comes"].startswith("AVX") and (used["AVX2"], used["SSE4.2"]) != ("AVX2", "DEFAULT"):
            print(f"PyTorch was to leave out newer instructions, and used {used}")
            return 1
        found = {name: outputs(root) for name, root in roots.items()}
    expected = found["as it comes"] | committed
    differ = {name: [path for path in some if some[path] != expected.get(path)] for name, some in found.items()}
    for name, paths in differ.items():
        print(f"{name}: {', '.join(paths) or f'the same bytes in all of {len(expected)} files'}")
    return any(differ.values())


def run_stages(names: Sequence[str]) -> None:
    """Run stages of the folder that is worked in."""
    from stages.pipeline.stage import run

    sys.argv = ["stage"]
    for name in names:
        module = importlib.import_module(f"stages.{name}")
        run(name, module.main, module.__doc__)
    from torch.backends.cpu import get_cpu_capability

    print(get_cpu_capability())


if __name__ == "__main__":
    sys.exit(run_stages(sys.argv[1:]) if sys.argv[1:] else main())
