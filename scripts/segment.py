"""Rule segment: bring a model's input into its format and cut it on paper."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.segment import segment

params = snakemake.params
with job(snakemake.log[0], "segment", params.song, snakemake.config["log_level"]):
    segment(
        list(zip(params.coefficients, map(Path, snakemake.input.sources), strict=True)),
        Path(snakemake.input.mix_info),
        Path(snakemake.output.mix),
        Path(snakemake.output.table),
        Path(snakemake.output.info),
        rate=params.rate,
        channels=params.channels,
        count=params.segments,
    )
