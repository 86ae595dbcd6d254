# Threads are fixed here: a result must not depend on how many cores a run was given.
rule separate:
    input:
        mix=lambda wildcards: f"{WORK}/segments/{plan.works[wildcards.key].segments.key}/mix.wav",
        table=lambda wildcards: f"{WORK}/segments/{plan.works[wildcards.key].segments.key}/segments.tsv",
        info=lambda wildcards: f"{WORK}/segments/{plan.works[wildcards.key].segments.key}/segments.json",
        model=lambda wildcards: ancient(model_files(plan.works[wildcards.key])),
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
        model=lambda wildcards: plan.works[wildcards.key].model,
        settings=lambda wildcards: plan.works[wildcards.key].settings,
        song=lambda wildcards: plan.mixes[plan.works[wildcards.key].segments.mix].song,
        segments=lambda wildcards: plan.works[wildcards.key].segments.count,
        models=settings.models,
        device=settings.device,
        temp_dir=settings.temp_dir,
    message:
        "{params.song}: separating segment {wildcards.part} of {params.segments}"
    script:
        "../scripts/separate.py"
