"""Rule page: a song's stems to hear and to see, in one file."""

from pathlib import Path

from unbraid.copies import here
from unbraid.job import job
from unbraid.stages.page import page

task, inputs = snakemake.params.task, snakemake.input
facts = task["facts"]
with job(snakemake.log[0], "page", facts["id"], snakemake.config["log_level"]):
    page(
        {stem: here(path, inputs) for stem, path in facts["stems"].items()},
        Path(inputs.mix),
        Path(inputs.quality),
        Path(inputs.provenance),
        Path(snakemake.output.page),
        limits=task["limits"],
    )
