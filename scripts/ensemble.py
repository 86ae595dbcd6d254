"""Rule ensemble: several versions of one stem made into one."""

from pathlib import Path

from unbraid.copies import here
from unbraid.job import job
from unbraid.publish import publish
from unbraid.stages.ensemble import ensemble

task = dict(snakemake.params.task)
with job(snakemake.log[0], "ensemble", task.pop("song"), snakemake.config["log_level"]):
    ensemble(
        [[(factor, here(path, snakemake.input)) for factor, path in member] for member in task.pop("members")],
        Path(snakemake.input.mix_info),
        Path(snakemake.output.stem),
        Path(snakemake.output.manifest),
        **task,
    )
    publish(snakemake.config, snakemake.wildcards.key, [Path(path) for path in snakemake.output])
