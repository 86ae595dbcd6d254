# Where the files of this repository are on this machine. No rules here.
import hashlib
import os
import tempfile
from pathlib import Path


def home():
    folder = workflow.current_basedir
    if hasattr(folder, "__fspath__"):
        return Path(folder).parent
    # Imported from a tag, Snakemake gets a file when it is asked for it. The library needs all of its own, beside each other.
    names = Path(workflow.source_path("../scripts/FILES")).read_text().split()
    files = {
        name: Path(workflow.source_path(f"../{name}")).read_bytes() for name in names
    }
    digest = hashlib.sha256(repr(files).encode()).hexdigest()[:16]
    place = Path(".snakemake/unbraid", digest).absolute()
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as partial:
            for name, content in files.items():
                (Path(partial) / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(partial) / name).write_bytes(content)
            try:
                os.rename(partial, place)
            except OSError:  # another process was faster
                pass
            else:
                os.mkdir(partial)  # to be removed
    return place


HOME = home()
