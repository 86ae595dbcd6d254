"""Rule model: fetch a model's files and convert them once."""

from pathlib import Path

from unbraid.fetch import fetch
from unbraid.job import job, say

with job(snakemake.log[0], "model", level=snakemake.config["log_level"]):
    fetch(snakemake.params.catalogue, Path(snakemake.output[0]).parent, log=say)
