"""The stacks agree with each other. That they resolve for their platforms: `make envs`."""

import re
from pathlib import Path

import pytest
import yaml

HOME = Path(__file__).parents[2]
STACKS = ["cpu", "cuda", "mlx"]


def pins(stack: str) -> set[str]:
    entries = yaml.safe_load((HOME / "envs" / f"{stack}.yaml").read_text())["dependencies"]
    return set(next(entry["pip"] for entry in entries if isinstance(entry, dict)))


def requirements(name: str) -> set[str]:
    lines = (HOME / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-"))}


def test_plain_pip_installs_the_cpu_stack_and_the_progress_logger():
    assert requirements("requirements.txt") - pins("cpu") == {"snakemake-logger-plugin-rich==0.5.1"}
    assert pins("cpu") <= requirements("requirements.txt")


@pytest.mark.parametrize("stack", STACKS)
def test_every_package_of_a_stack_is_pinned(stack):
    assert all(re.fullmatch(r"[\w.-]+==[\d.]+", pin) for pin in pins(stack))


@pytest.mark.parametrize("stack", ["cuda", "mlx"])
def test_the_stacks_share_their_versions(stack):
    assert pins("cpu") <= pins(stack)


def test_the_reasons_name_every_package():
    reasons = (HOME / "envs/README.md").read_text()
    names = {pin.partition("==")[0] for pin in requirements("requirements.txt")}
    assert [name for name in sorted(names) if not re.search(rf"\b{re.escape(name)}\b", reasons)] == []
