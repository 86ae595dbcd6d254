"""Rule segment: bring a model's input into its format and cut it on paper."""

from pathlib import Path

from unbraid.copies import here
from unbraid.job import job
from unbraid.stages.segment import segment

task = dict(snakemake.params.task)
with job(snakemake.log[0], "segment", task.pop("song"), snakemake.config["log_level"]):
    segment(
        [(factor, here(path, snakemake.input)) for factor, path in task.pop("sources")],
        Path(snakemake.input.mix_info),
        Path(snakemake.output.mix),
        Path(snakemake.output.info),
        **task,
    )
