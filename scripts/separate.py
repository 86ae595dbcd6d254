"""Rule separate: the stems of one segment. With a worker this job only waits, so it imports nothing for numbers."""

from pathlib import Path

from unbraid.job import job, trace_file
from unbraid.worker.client import separate

config, given = snakemake.config, dict(snakemake.params.task)
song, part, count = given.pop("song"), int(snakemake.wildcards.part), given.pop("segments")
with job(snakemake.log[0], "separate", song, config["log_level"]):
    warm = given.pop("warm")
    task = {
        **given,
        "mix": snakemake.input.mix,
        "info": snakemake.input.info,
        "stems": snakemake.output.stems,
        "report": snakemake.output.report,
        "folder": f"{config['models']}/{given['model']['name']}",
        "index": part,
        "device": config["device"],
        "threads": max(snakemake.threads, given["threads"]),
        "temp_dir": config["temp_dir"].replace("${song}", song),
        "prompt": snakemake.input.get("prompt"),
        "label": f"{song} {part + 1}/{count}",
        "trace": str(trace_file(snakemake.log[0])),
    }
    # logs/separate/key/part.log
    separate(task, warm=warm, logs=Path(snakemake.log[0]).parents[2] / "worker")
