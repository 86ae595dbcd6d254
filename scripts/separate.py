"""Rule separate: the stems of one segment."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.separate import separate

params = snakemake.params
planned = params.separation
song, part = planned.segments.song, int(snakemake.wildcards.part)
with job(snakemake.log[0], "separate", song, snakemake.config["log_level"]):
    separate(
        Path(snakemake.input.mix),
        Path(snakemake.input.table),
        Path(snakemake.input.info),
        Path(snakemake.output.stems),
        Path(snakemake.output.report),
        model=planned.model,
        folder=Path(params.models) / planned.model.name,
        settings=planned.settings,
        index=part,
        device=params.device,
        threads=snakemake.threads,
        temp_dir=Path(params.temp_dir) if params.temp_dir else None,
        label=f"{song} {part + 1}/{planned.segments.count}",
    )
