"""Rule separate: the stems of one segment."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.separate import separate

params = snakemake.params
part = int(snakemake.wildcards.part)
with job(snakemake.log[0], "separate", params.song, snakemake.config["log_level"]):
    separate(
        Path(snakemake.input.mix),
        Path(snakemake.input.table),
        Path(snakemake.input.info),
        Path(snakemake.output.stems),
        Path(snakemake.output.report),
        model=params.model,
        folder=Path(params.models) / params.model.name,
        settings=params.settings,
        index=part,
        device=params.device,
        threads=snakemake.threads,
        temp_dir=Path(params.temp_dir) if params.temp_dir else None,
        label=f"{params.song} {part + 1}/{params.segments}",
    )
