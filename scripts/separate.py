"""Rule separate: the stems of one segment."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.separate import separate

planned, config = snakemake.params.separation, snakemake.config
prompt = snakemake.input.get("prompt")
song, part = planned.segments.song, int(snakemake.wildcards.part)
with job(snakemake.log[0], "separate", song, config["log_level"]):
    separate(
        Path(snakemake.input.mix),
        Path(snakemake.input.table),
        Path(snakemake.input.info),
        Path(snakemake.output.stems),
        Path(snakemake.output.report),
        model=planned.model,
        folder=Path(config["models"]) / planned.model.name,
        settings=planned.settings,
        index=part,
        device=config["device"],
        threads=max(snakemake.threads, snakemake.params.threads),
        temp_dir=Path(config["temp_dir"].replace("${song}", song)) if config["temp_dir"] else None,
        prompt=Path(prompt) if prompt else None,
        label=f"{song} {part + 1}/{planned.segments.count}",
    )
