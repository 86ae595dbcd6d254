"""Most jobs last less than a second, so what a stage imports counts: only what it uses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
HEAVY = ("pydantic", "yaml", "tqdm", "torch", "scipy", "unbraid.plan", "unbraid.catalogue")
LATER = ("av", "soxr")  # only where a file is decoded, resampled or measured
STAGES = ("convert", "segment", "separate", "merge", "ensemble", "deliver", "preview", "report")


def imported(module: str) -> set[str]:
    """What importing this module in a fresh process brings along."""
    run = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return set(subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_nothing_that_only_plans_models_or_terminals_need(stage):
    assert imported(f"unbraid.stages.{stage}") & {*HEAVY, *LATER} == set()


def test_a_job_that_only_waits_for_a_worker_imports_no_numerics_either():
    assert imported("unbraid.worker.client") & {*HEAVY, *LATER, "numpy", "soundfile"} == set()


@pytest.mark.parametrize("module", ["unbraid.page.song", "unbraid.page.songs"])
def test_what_writes_a_page_is_imported_only_when_one_is_written(module):
    assert imported(module) & {*HEAVY, *LATER, "jinja2"} == set()
