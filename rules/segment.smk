rule segment:
    input:
        sources=lambda wildcards: source_files(plan.segments[wildcards.key].sources),
        mix_info=lambda wildcards: mix_file(plan.segments[wildcards.key].mix, "mix.json"),
    output:
        mix=temp(f"{WORK}/segments/{{key}}/mix.wav"),
        table=temp(f"{WORK}/segments/{{key}}/segments.tsv"),
        info=temp(f"{WORK}/segments/{{key}}/segments.json"),
    log:
        f"{LOGS}/segment/{{key}}.log",
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        coefficients=lambda wildcards: [source.coefficient for source in plan.segments[wildcards.key].sources],
        rate=lambda wildcards: plan.segments[wildcards.key].rate,
        channels=lambda wildcards: plan.segments[wildcards.key].channels,
        segments=lambda wildcards: plan.segments[wildcards.key].count,
        song=lambda wildcards: plan.mixes[plan.segments[wildcards.key].mix].song,
    message:
        "{params.song}: cutting into {params.segments} segment(s)"
    script:
        "../scripts/segment.py"
