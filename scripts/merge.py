"""Rule merge: join the segments of a song into stems."""

from pathlib import Path

from unbraid.job import job
from unbraid.publish import publish
from unbraid.stages.merge import merge

params = snakemake.params
with job(snakemake.log[0], "merge", params.song, snakemake.config["log_level"]):
    merge(
        [Path(path) for path in snakemake.input.parts],
        [Path(path) for path in snakemake.input.reports],
        Path(snakemake.input.mix_info),
        Path(snakemake.input.segment_info),
        [Path(path) for path in snakemake.output.stems],
        Path(snakemake.output.manifest),
        **params.task,
    )
    publish(snakemake.config, snakemake.wildcards.key, [Path(path) for path in snakemake.output])
