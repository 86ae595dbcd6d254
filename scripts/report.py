"""Rule report: measure what was delivered and say where it came from."""

from pathlib import Path

from unbraid.copies import here
from unbraid.job import job
from unbraid.stages.report import report

facts, inputs = snakemake.params.facts, snakemake.input
with job(snakemake.log[0], "report", facts["id"], snakemake.config["log_level"]):
    report(
        {stem: here(path, inputs) for stem, path in facts["stems"].items()},
        Path(inputs.mix),
        Path(inputs.delivery),
        {step: here(path, inputs) for step, path in snakemake.params.manifests.items()},
        {stem: here(have["info"], inputs) for stem, have in facts["haves"].items()},
        {stem: (here(true["audio"], inputs), here(true["info"], inputs)) for stem, true in facts["references"].items()},
        Path(snakemake.output.quality),
        Path(snakemake.output.provenance),
        song=facts,
    )
