# A stem that the user has, in the form of its mix. As with convert, the file is a param, never an input.
rule have:
    input:
        mix_info=lambda wildcards: mix_file(plan.haves[wildcards.key].mix, "mix.json"),
    output:
        stem=passing(f"{WORK}/have/{{key}}/have.wav"),
        info=passing(f"{WORK}/have/{{key}}/have.json"),
    log:
        f"{LOGS}/have/{{key}}.log",
    group:
        allocation()
    conda:
        STACK
    threads: 1
    resources:
        **MIX_DISK,
        mem_mb=memory(500),
        runtime=AROUND,
        lanes=1,
    params:
        task=told(have_task),
    message:
        "{params.task[song]}: taking {params.task[path]}"
    script:
        "../scripts/have.py"
