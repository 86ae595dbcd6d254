# The job computes with the task's threads even where Snakemake grants it fewer: their number may decide the last bits.
# More, by --set-threads, is a choice: it is faster, and may change the last bits (below -100 dB).
rule separate:
    input:
        unpack(separate_input),
    output:
        stems=passing(f"{WORK}/separated/{{key}}/{{part}}.wav"),
        report=passing(f"{WORK}/separated/{{key}}/{{part}}.json"),
    log:
        f"{LOGS}/separate/{{key}}/{{part}}.log",
    group:
        allocation(separate_segments)
    conda:
        STACK_OF_NETWORK
    threads: lambda wildcards: share_of(wildcards).cores
    resources:
        **NETWORK_DISK,
        gpu=lambda wildcards: share_of(wildcards).gpu or None,
        gpu_percent=lambda wildcards: share_of(wildcards).gpu_percent or None,
        machine_percent=lambda wildcards: share_of(wildcards).percent,
        mem_mb=memory(shares.MEMORY),
        runtime=NETWORK,
        lanes=2,
    params:
        task=told(separate_task),
    message:
        "{params.task[song]}: separating segment {wildcards.part} of {params.task[segments]}, from 0"
    script:
        "../scripts/separate.py"
