# The song is a param, never an input: a missing song must fail its own job, not the whole DAG, and a touched one
# changes nothing (its content is in the key).
rule convert:
    input:
        [] if settings.reuse else nothing_unless_afresh,
    output:
        mix=passing(f"{WORK}/mix/{{key}}/mix.wav"),
        info=passing(f"{WORK}/mix/{{key}}/mix.json"),
    log:
        f"{LOGS}/convert/{{key}}.log",
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
        task=told(convert_task),
        truncated=settings.truncated,
    message:
        "{params.task[song]}: decoding"
    script:
        "../scripts/convert.py"
