"""Rule segment: bring a model's input into its format and cut it on paper."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.segment import segment

planned = snakemake.params.segments
with job(snakemake.log[0], "segment", planned.song, snakemake.config["log_level"]):
    coefficients = [source.coefficient for source in planned.sources]
    segment(
        list(zip(coefficients, map(Path, snakemake.input.sources), strict=True)),
        Path(snakemake.input.mix_info),
        Path(snakemake.output.mix),
        Path(snakemake.output.table),
        Path(snakemake.output.info),
        rate=planned.rate,
        channels=planned.channels,
        count=planned.count,
    )
