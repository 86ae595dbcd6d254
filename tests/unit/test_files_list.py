"""scripts/FILES names what the library is made of, for workflows that import unbraid from a tag."""

import subprocess
from pathlib import Path

HOME = Path(__file__).parents[2]


def test_all_files_that_the_library_reads_are_listed():
    command = ["git", "ls-files", "-co", "--exclude-standard", "scripts/unbraid", "config", "envs"]
    found = subprocess.run(command, cwd=HOME, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    needed = {name for name in found if not name.endswith((".md", ".txt")) and (HOME / name).is_file()}
    assert set((HOME / "scripts/FILES").read_text().split()) == needed
