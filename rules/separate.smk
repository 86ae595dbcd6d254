# Threads are fixed here: a result must not depend on how many cores a run was given.
rule separate:
    input:
        unpack(separate_input),
    output:
        stems=temp(f"{WORK}/separated/{{key}}/{{part}}.wav"),
        report=temp(f"{WORK}/separated/{{key}}/{{part}}.json"),
    log:
        f"{LOGS}/separate/{{key}}/{{part}}.log",
    conda:
        STACK
    threads: 4
    resources:
        gpu=GPU,
        mem_mb=6000,
    params:
        separation=lambda wildcards: plan.works[wildcards.key],
        models=settings.models,
        device=settings.device,
        temp_dir=settings.temp_dir,
    message:
        "{params.separation.segments.song}: separating segment {wildcards.part} of {params.separation.segments.count}, from 0"
    script:
        "../scripts/separate.py"
