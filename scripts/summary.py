"""Rule summary: print what became of the last run's songs."""

from pathlib import Path

from unbraid.job import job
from unbraid.summary import shown

with job(snakemake.log[0], "summary", level=snakemake.config["log_level"]):
    print(shown(Path(snakemake.params.file)), flush=True)
