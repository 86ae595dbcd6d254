"""Rule convert: decode a song."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.convert import convert

params, output = snakemake.params, snakemake.output
with job(snakemake.log[0], "convert", params.song, snakemake.config["log_level"]):
    convert(Path(params.path), Path(output.mix), Path(output.info), **params.task, truncated=params.truncated)
