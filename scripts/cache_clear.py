"""Rule cache_clear: remove what the store holds, or list it."""

from unbraid import cleaning
from unbraid.config import load
from unbraid.job import job

with job(snakemake.log[0], "cache_clear", level=snakemake.config["log_level"]):
    print(cleaning.clear(load(snakemake.config)), flush=True)
