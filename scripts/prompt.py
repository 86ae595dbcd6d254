"""Rule prompt: what a prompt means to a model."""

from pathlib import Path

from unbraid import catalogue
from unbraid.backends import registry
from unbraid.job import job

task, config = snakemake.params.task, snakemake.config
with job(snakemake.log[0], "prompt", level=config["log_level"]):
    model = catalogue.from_table(task["model"])
    encode = registry.encoder(registry.find(model.backend))
    encode(model, Path(config["models"]) / model.name, Path(snakemake.output[0]), task["settings"], config["device"])
