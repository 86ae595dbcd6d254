"""Rule deliver: write the recipe's stems as the files that people use."""

from pathlib import Path

from unbraid.copies import here
from unbraid.job import job
from unbraid.stages.deliver import deliver

params, task, inputs = snakemake.params, snakemake.params.task, snakemake.input
with job(snakemake.log[0], "deliver", snakemake.wildcards.song, snakemake.config["log_level"]):
    deliver(
        {stem: [(factor, here(path, inputs)) for factor, path in terms] for stem, terms in task["stems"].items()},
        Path(inputs.mix_info),
        {Path(path).stem: Path(path) for path in snakemake.output.stems},
        Path(snakemake.output.report),
        **params.asked,
        source=Path(task["source"]),
    )
