"""Rule cache_clean: remove what the store should not keep any longer, or list it."""

from unbraid import cleaning
from unbraid.config import load
from unbraid.job import job

with job(snakemake.log[0], "cache_clean", level=snakemake.config["log_level"]):
    print(cleaning.clean(load(snakemake.config)), flush=True)
