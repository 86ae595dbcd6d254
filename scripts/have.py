"""Rule have: a stem that the user has, in the form of its mix."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.have import have

task, output = dict(snakemake.params.task), snakemake.output
with job(snakemake.log[0], "have", task.pop("song"), snakemake.config["log_level"]):
    have(Path(task.pop("path")), Path(snakemake.input.mix_info), Path(output.stem), Path(output.info), **task)
