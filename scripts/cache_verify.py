"""Rule cache_verify: hash what the store holds again, and take out what is damaged."""

from pathlib import Path

from unbraid import cache
from unbraid.job import job

with job(snakemake.log[0], "cache_verify", level=snakemake.config["log_level"]):
    print(cache.verify(Path(snakemake.config["store"])), flush=True)
