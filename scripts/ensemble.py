"""Rule ensemble: several versions of one stem made into one."""

from pathlib import Path

from unbraid.job import job
from unbraid.publish import publish
from unbraid.stages.ensemble import ensemble

params = snakemake.params
with job(snakemake.log[0], "ensemble", params.song, snakemake.config["log_level"]):
    ensemble(
        [[(factor, Path(path)) for factor, path in member] for member in params.members],
        Path(snakemake.input.mix_info),
        Path(snakemake.output.stem),
        Path(snakemake.output.manifest),
        **params.task,
    )
    publish(snakemake.config, snakemake.wildcards.key, [Path(path) for path in snakemake.output])
