"""The code that runs a family of models; each module loads its own heavy libraries."""
