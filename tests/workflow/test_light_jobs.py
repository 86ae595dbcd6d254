"""What each job of a real run has imported by its end: no more than its stage uses, whatever it was told."""

import os
from pathlib import Path

from flow import Desk, noise, write

# What a job runs on its way out, through a module that Python imports by itself.
NOTE = """\
import atexit, os, sys
def note():
    name = os.path.basename(sys.argv[0]).partition(".")[2]
    with open(os.path.join(os.environ["NOTES"], f"{name}.{os.getpid()}"), "w") as file:
        print(*sys.modules, file=file)
atexit.register(note)
"""
# The recipe `identity` separates in the job itself, without a worker.
LIGHT = ("convert.py", "segment.py", "merge.py", "ensemble.py", "deliver.py", "report.py")
RECIPE = "twice: {steps: {a: {model: identity, input: mix}, b: {ensemble: [a.copy, mix]}}, stems: {both: b}}"


def test_no_job_imports_the_plan_or_what_it_is_made_with(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    write(desk.songs / "a.wav", noise(0.2))
    (desk.path / "config").mkdir()
    (desk.path / "config/recipes.yaml").write_text(RECIPE)
    notes = tmp_path / "notes"
    notes.mkdir()
    (tmp_path / "sitecustomize.py").write_text(NOTE)
    run = desk.run(options={"env": {**os.environ, "PYTHONPATH": str(tmp_path), "NOTES": str(notes)}}, recipe="twice")
    assert run.code == 0, run.text
    imported = {path.name.removesuffix(path.suffix): set(path.read_text().split()) for path in notes.iterdir()}
    assert set(LIGHT) <= set(imported)
    for script in LIGHT:
        assert imported[script] & {"pydantic", "yaml", "tqdm", "unbraid.plan", "unbraid.catalogue"} == set(), script
