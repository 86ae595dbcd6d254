"""unbraid in another workflow: its files where that one wants them, its settings, from a folder or from a tag."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

from flow import HOME, Desk, noise, write

WORKFLOW = """
module unbraid:
    snakefile: {snakefile}
    config: {{"recipe": "karaoke", "pages": False, **config}}
    pathvars:
        results="stems",
        logs="notes/logs",
        work="passing",

use rule * from unbraid as unbraid_*

rule digest:
    default_target: True
    input: "stems/one/twice.wav", "stems/one/qc.json"
    output: "digest.txt"
    shell: "sha256sum {{input}} > {{output}}"
"""
RECIPE = """
karaoke:
  steps: {same: {model: identity, input: mix}}
  stems: {twice: same.copy + mix}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/recipes.yaml").write_text(RECIPE)
    write(tmp_path / "songs/one.wav", noise(1, level=0.2))
    return tmp_path


def run(folder, snakefile, *arguments, **variables):
    (folder / "Snakefile").write_text(WORKFLOW.format(snakefile=snakefile))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def alone(folder):
    """What unbraid makes of the same song by itself."""
    desk = Desk(folder / "alone")
    write(desk.songs / "one.wav", noise(1, level=0.2))
    shutil.copytree(folder / "config", desk.path / "config")
    desk.good(recipe="karaoke")
    return digest(desk.path / "results/one/twice.wav")


def check(folder):
    assert digest(folder / "stems/one/twice.wav") in (folder / "digest.txt").read_text()
    assert list((folder / "notes/logs/convert").glob("*.log"))
    assert not [name for name in ("results", "logs", "work") if (folder / name).exists()]


def test_imported_from_a_folder_it_makes_the_same_where_the_other_workflow_wants_it(folder):
    run(folder, repr(str(HOME / "Snakefile")))
    check(folder)
    assert digest(folder / "stems/one/twice.wav") == alone(folder)


def test_settings_of_the_other_workflow_are_checked_and_may_ask_for_all_afresh(folder):
    run(folder, repr(str(HOME / "Snakefile")))
    text = run(folder, repr(str(HOME / "Snakefile")), "--config", "reuse=false")
    assert "Finished jobid" in text
    assert "unbraid_convert" in text
    with pytest.raises(AssertionError, match=r"[Dd]id you mean.*preset"):
        run(folder, repr(str(HOME / "Snakefile")), "--config", "presett=fast")


def test_imported_from_a_tag_it_needs_no_folder_of_its_own(folder):
    """The clone is where Snakemake keeps it, so that nothing is fetched; what came after the tag is not used."""
    repository, kept = folder / "repository", "snakemake/snakemake/source-cache/snakemake-git-cache/github.com/someone"
    repository.mkdir()
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=HOME, stdout=subprocess.PIPE, check=True
    )
    for name in filter(None, tracked.stdout.decode().split("\0")):
        if (HOME / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOME / name, repository / name)
    git = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (
        [*git, "init", "-q"],
        [*git, "add", "-A"],
        [*git, "commit", "-qm", "all"],
        [*git, "tag", "v1"],
        [*git, "rm", "-rq", "scripts", "rules"],
        [*git, "commit", "-qm", "none"],
        [*git, "clone", "-q", "--bare", ".", folder / "cache" / kept / "unbraid"],
    ):
        subprocess.run(command, cwd=repository, check=True)
    shutil.rmtree(repository)
    source = 'github("someone/unbraid", path="Snakefile", tag="v1")'
    run(folder, source, XDG_CACHE_HOME=str(folder / "cache"))
    check(folder)
