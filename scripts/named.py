"""Rule named: the delivered files once more in one folder, by names made from the songs' tags."""

from pathlib import Path

from unbraid.job import job
from unbraid.stages.named import named

params = snakemake.params
with job(snakemake.log[0], "named", level=snakemake.config["log_level"]):
    folder = Path(snakemake.output[0])
    folder.mkdir(parents=True, exist_ok=True)
    named(params.files, folder.parent, folder, template=params.template)
