"""Rule passed: say so when a song has passed its quality gates."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.passed import passed

params = snakemake.params
with job(snakemake.log[0], "passed", params.song, snakemake.config["log_level"]):
    passed(Path(snakemake.input.quality), Path(snakemake.output[0]), limits=params.limits)
