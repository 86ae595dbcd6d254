# As with merge: a key that is complete in the store has no producing rule in this run.
rule ensemble:
    input:
        unpack(ensemble_input),
    output:
        stem=temp(made_file("{key}", "ensemble.wav")),
        manifest=temp(made_file("{key}", "manifest.json")),
    log:
        f"{LOGS}/ensemble/{{key}}.log",
    wildcard_constraints:
        key=keys.only(
            [key for key, made in plan.ensembles.items() if not made.complete],
            list(plan.ensembles),
            keys.pattern("ensemble"),
        ),
    group:
        allocation()
    conda:
        STACK
    threads: 1
    resources:
        **STEMS_DISK,
        mem_mb=memory(500),
        runtime=AROUND,
        lanes=1,
    params:
        task=told(ensemble_task),
    message:
        "{params.task[song]}: making one stem of several"
    script:
        "../scripts/ensemble.py"
