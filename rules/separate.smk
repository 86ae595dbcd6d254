# The job computes with params.threads even where Snakemake grants it fewer: their number may decide the last bits.
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
        lambda wildcards: stack_of(plan.works[wildcards.key])
    threads: lambda wildcards: share_of(wildcards).cores
    resources:
        gpu=lambda wildcards: share_of(wildcards).gpu,
        machine_percent=lambda wildcards: share_of(wildcards).percent,
        mem_mb=memory(shares.MEMORY),
        runtime=network_minutes,
    params:
        task=told(separate_task),
        song=told(lambda wildcards: plan.works[wildcards.key].segments.song),
        segments=told(lambda wildcards: plan.works[wildcards.key].segments.count),
        warm=told(lambda wildcards: is_warm(plan.works[wildcards.key].model)),
        threads=told(lambda wildcards: share_of(wildcards).threads),
        joint=told(lambda wildcards: share_of(wildcards).joint),
    message:
        "{params.song}: separating segment {wildcards.part} of {params.segments}, from 0"
    script:
        "../scripts/separate.py"
