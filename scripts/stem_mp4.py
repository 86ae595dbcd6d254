"""Rule stem_mp4: the song and its four stems in one file for DJs."""

from pathlib import Path

from unbraid.copies import here
from unbraid.job import job
from unbraid.stages.stem_mp4 import write

params, inputs = snakemake.params, snakemake.input
with job(snakemake.log[0], "stem_mp4", snakemake.wildcards.song, snakemake.config["log_level"]):
    write(
        here(params.mix, inputs),
        {stem: [(factor, here(path, inputs)) for factor, path in terms] for stem, terms in params.stems.items()},
        Path(inputs.mix_info),
        Path(snakemake.output[0]),
        clip=params.clip,
        source=Path(params.song),
    )
