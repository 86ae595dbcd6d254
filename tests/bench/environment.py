"""On what a table was measured: machine, system, versions, device. In one paragraph, which goes below each table."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OURS = ("snakemake", "torch", "openvino", "demucs", "numpy")
THEIRS = ("demucs", "audio-separator", "torch")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe(device: str = "cpu", peers: Path | None = None) -> str:
    """peers: the environment that the peers run from, when there are some."""
    model, flags = _processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"{model}, {os.cpu_count()} cores ({', '.join(flag for flag in FLAGS if flag in flags) or 'no vector flags'})",
        f"{memory:.0f} GiB",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        _versions(sys.executable, OURS),
        *([f"peers: {_versions(peers / 'bin/python', THEIRS)}"] if peers else []),
        f"device {_gpu() if device.startswith('cuda') else device}",
    ]
    return f"Measured on: {'; '.join(parts)}."


def _processor() -> tuple[str, set[str]]:
    """Its name and its flags; Linux tells both."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.+)$", text, re.MULTILINE)
    return name[1] if name else platform.machine(), set(flags[1].split()) if flags else set()


def _versions(python: str | Path, packages: Sequence[str]) -> str:
    """Of the packages that this Python has."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return ", ".join(f"{name} {found[name]}" for name in packages if name in found)


def _gpu() -> str:
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return f"cuda ({subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()})"


if __name__ == "__main__":
    print(describe())
