"""Rule cache_list: print what the store holds."""

from pathlib import Path

from unbraid import cache
from unbraid.job import job

with job(snakemake.log[0], "cache_list", level=snakemake.config["log_level"]):
    print(cache.listing(Path(snakemake.config["store"])), flush=True)
