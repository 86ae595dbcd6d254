"""Rule page: a song's stems to hear and to see, in one file."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.page import page

task = snakemake.params.task
facts = task["facts"]
with job(snakemake.log[0], "page", facts["id"], snakemake.config["log_level"]):
    page(
        {stem: Path(path) for stem, path in facts["stems"].items()},
        Path(snakemake.input.mix),
        Path(snakemake.input.provenance).with_name("qc.json"),
        Path(snakemake.input.provenance),
        Path(snakemake.output.page),
        limits=task["limits"],
    )
