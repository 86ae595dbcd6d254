"""Rule prompt: what a prompt means to a model."""

from pathlib import Path

from unbraid.backends import registry
from unbraid.job import job

planned, config = snakemake.params.separation, snakemake.config
with job(snakemake.log[0], "prompt", level=config["log_level"]):
    encode = registry.encoder(registry.find(planned.model.backend))
    folder = Path(config["models"]) / planned.model.name
    encode(planned.model, folder, Path(snakemake.output[0]), planned.settings, config["device"])
