"""Rule ensemble: several versions of one stem made into one."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.ensemble import ensemble

params, planned = snakemake.params, snakemake.params.ensemble
with job(snakemake.log[0], "ensemble", planned.song, snakemake.config["log_level"]):
    ensemble(
        [[(factor, Path(path)) for factor, path in member] for member in params.members],
        Path(snakemake.input.mix_info),
        Path(snakemake.output.stem),
        Path(snakemake.output.manifest),
        method=planned.method,
        weights=list(planned.weights),
        key=planned.key,
        content=planned.content,
    )
