"""Rule segment: bring a model's input into its format and cut it on paper."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.segment import segment

params = snakemake.params
with job(snakemake.log[0], "segment", params.song, snakemake.config["log_level"]):
    segment(
        [(factor, Path(path)) for factor, path in params.sources],
        Path(snakemake.input.mix_info),
        Path(snakemake.output.mix),
        Path(snakemake.output.table),
        Path(snakemake.output.info),
        **params.task,
    )
