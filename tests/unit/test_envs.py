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
    # With all that it asks for, audio-separator needs a compiler; conda brings one, plain pip leaves out what is not used.
    without = {"audio-separator[cpu]==0.47.1", "torchvision==0.28.0"}
    assert pins("cpu") - requirements("requirements.txt") == without
    assert "pip install --no-deps audio-separator==0.47.1" in (HOME / "requirements.txt").read_text()


@pytest.mark.parametrize("stack", STACKS)
def test_every_package_of_a_stack_is_pinned(stack):
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\d.]+", pin) for pin in pins(stack))


@pytest.mark.parametrize("stack", ["cuda", "mlx"])
def test_the_stacks_share_their_versions(stack):
    for_gpu = {"audio-separator[gpu]==0.47.1", "onnxruntime-gpu==1.31.1"}
    missing = pins("cpu") - pins(stack)
    assert {re.sub(r"\[.*\]|-gpu", "", pin) for pin in missing} <= {re.sub(r"\[.*\]|-gpu", "", pin) for pin in for_gpu}
    assert not missing or for_gpu <= pins(stack)


def test_the_reasons_name_every_package():
    reasons = (HOME / "envs/README.md").read_text()
    names = {pin.partition("==")[0] for pin in requirements("requirements.txt")}
    assert [name for name in sorted(names) if not re.search(rf"\b{re.escape(name)}\b", reasons)] == []
