"""Rule have: a stem that the user has, in the form of its mix."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.have import have

params, output = snakemake.params, snakemake.output
with job(snakemake.log[0], "have", params.song, snakemake.config["log_level"]):
    have(Path(params.path), Path(snakemake.input.mix_info), Path(output.stem), Path(output.info), **params.task)
