"""Rule plan: print what there is to do, and write it down."""

from pathlib import Path

from unbraid.job import job
from unbraid.plan_table import shown, write

params = snakemake.params
with job(snakemake.log[0], "plan", level=snakemake.config["log_level"]):
    write(Path(params.file), params.table, params.notes)
    print(shown(params.table, params.notes), f"See {params.file}.", sep="\n", flush=True)
