"""Rule convert: decode a song."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.convert import convert

mix = snakemake.params.mix
with job(snakemake.log[0], "convert", mix.song, snakemake.config["log_level"]):
    convert(
        Path(mix.path),
        Path(snakemake.output.mix),
        Path(snakemake.output.info),
        digest=mix.sha256,
        problem=mix.problem,
        start=mix.start,
        end=mix.end,
        truncated=snakemake.params.truncated,
    )
