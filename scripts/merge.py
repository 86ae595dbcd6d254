"""Rule merge: join the segments of a song into stems."""

from pathlib import Path

from unbraid.job import job
from unbraid.publish import publish
from unbraid.stages.merge import merge

task = dict(snakemake.params.task)
with job(snakemake.log[0], "merge", task.pop("song"), snakemake.config["log_level"]):
    merge(
        [Path(path) for path in snakemake.input.parts],
        [Path(path) for path in snakemake.input.reports],
        Path(snakemake.input.info),
        [Path(path) for path in snakemake.output.stems],
        Path(snakemake.output.manifest),
        **task,
    )
    publish(snakemake.config, snakemake.wildcards.key, [Path(path) for path in snakemake.output])
