"""Resolves the pins of each stack in envs/ for its platform with `uv pip compile`, without installing anything.

Prints the number of packages of each; exits 1, naming the conflict, when a stack does not resolve.
"""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ENVS = Path(__file__).parents[2] / "envs"
PLATFORMS = {
    "cpu": ["x86_64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"],
    "cuda": ["x86_64-manylinux_2_28"],
    "mlx": ["aarch64-apple-darwin"],
}


def pins(stack: str) -> list[str]:
    """The pip packages of one stack."""
    (found,) = [
        entry["pip"]
        for entry in yaml.safe_load((ENVS / f"{stack}.yaml").read_text())["dependencies"]
        if isinstance(entry, dict)
    ]
    return sorted(found)


def resolve(stack: str, platform: str) -> str:
    """The whole set of packages. Raises: subprocess.CalledProcessError with uv's explanation."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--python-version", "3.11"]
    return subprocess.run(
        [*command, "--python-platform", platform, "-"],
        input="\n".join(pins(stack)),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
    ).stdout


def main() -> None:
    failed = False
    for stack, platforms in PLATFORMS.items():
        for platform in platforms:
            try:
                packages = [line for line in resolve(stack, platform).splitlines() if "==" in line]
                print(f"{stack} on {platform}: resolves to {len(packages)} packages")
            except subprocess.CalledProcessError as error:
                failed = True
                print(f"{stack} on {platform}: does not resolve\n{error.stderr}", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
