"""Rule convert: decode a song."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.convert import convert

task, output = dict(snakemake.params.task), snakemake.output
with job(snakemake.log[0], "convert", task.pop("song"), snakemake.config["log_level"]):
    source = Path(task.pop("path"))
    convert(source, Path(output.mix), Path(output.info), **task, truncated=snakemake.params.truncated)
