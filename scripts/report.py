"""Rule report: measure what was delivered and say where it came from."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.report import report

facts = snakemake.params.facts
with job(snakemake.log[0], "report", facts["id"], snakemake.config["log_level"]):
    report(
        {stem: Path(path) for stem, path in facts["stems"].items()},
        Path(snakemake.input.mix),
        Path(snakemake.input.delivery),
        {step: Path(path) for step, path in snakemake.params.manifests.items()},
        {stem: Path(have["info"]) for stem, have in facts["haves"].items()},
        {stem: (Path(true["audio"]), Path(true["info"])) for stem, true in facts["references"].items()},
        Path(snakemake.output.quality),
        Path(snakemake.output.provenance),
        song=facts,
    )
