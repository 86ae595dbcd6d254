# With `qc: fail` a song is done when it has passed its quality gates; what was delivered and measured stays in any case.
rule passed:
    input:
        quality=quality_file("{song}"),
    output:
        f"{RESULTS}/{{song}}/{gates.PASSED}",
    log:
        f"{LOGS}/passed/{{song}}/passed.log",
    group:
        allocation(results)
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=AROUND,
    params:
        song=told(lambda wildcards: wildcards.song),
        limits=settings.limits,
    message:
        "{wildcards.song}: quality gates"
    script:
        "../scripts/passed.py"
