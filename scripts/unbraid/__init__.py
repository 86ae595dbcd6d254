"""unbraid: the library behind the workflow. Importable and tested without Snakemake."""

__version__ = "0.1.0"
