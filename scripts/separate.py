"""Rule separate: the stems of one segment. With a worker this job only waits, so it imports nothing for numbers."""

from unbraid.job import job, trace_file
from unbraid.worker.client import separate

params, config = snakemake.params, snakemake.config
part = int(snakemake.wildcards.part)
with job(snakemake.log[0], "separate", params.song, config["log_level"]):
    task = {
        **params.task,
        "mix": snakemake.input.mix,
        "table": snakemake.input.table,
        "info": snakemake.input.info,
        "stems": snakemake.output.stems,
        "report": snakemake.output.report,
        "folder": f"{config['models']}/{params.task['model']['name']}",
        "index": part,
        "device": config["device"],
        "threads": max(snakemake.threads, params.threads),
        "joint": params.joint,
        "temp_dir": config["temp_dir"].replace("${song}", params.song),
        "prompt": snakemake.input.get("prompt"),
        "label": f"{params.song} {part + 1}/{params.segments}",
        "trace": str(trace_file(snakemake.log[0])),
    }
    separate(task, warm=params.warm)
