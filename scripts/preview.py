"""Rule preview: one separated segment as files to listen to."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.preview import preview

with job(snakemake.log[0], "preview", snakemake.wildcards.song, snakemake.config["log_level"]):
    preview(Path(snakemake.input.part), [Path(path) for path in snakemake.output])
