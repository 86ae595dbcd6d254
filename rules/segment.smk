rule segment:
    input:
        unpack(segment_input),
    output:
        mix=passing(f"{WORK}/segments/{{key}}/mix.wav"),
        info=passing(f"{WORK}/segments/{{key}}/mix.json"),
    log:
        f"{LOGS}/segment/{{key}}.log",
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
        task=told(segment_task),
    message:
        "{params.task[song]}: cutting into {params.task[count]} segment(s)"
    script:
        "../scripts/segment.py"
