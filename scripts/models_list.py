"""Rule models_list: print the models that match `filter`."""

from pathlib import Path

from unbraid.job import job
from unbraid.models import Models
from unbraid.models_list import matching, table

with job(snakemake.log[0], "models_list", level=snakemake.config["log_level"]):
    models = Models([Path(folder) for folder in snakemake.params.folders])
    found = matching(models.all(), snakemake.config["filter"])
    print(table(found), f"{len(found)} of {len(models.all())} models", sep="\n\n", flush=True)
