# With `qc: fail` a song is done when it has passed its quality gates; what was delivered and measured stays in any case. So
# it is in no allocation: a pod that fails loses all that its jobs have made.
rule passed:
    input:
        quality=quality_file("{song}"),
    output:
        f"{RESULTS}/{{song}}/{gates.PASSED}",
    log:
        f"{LOGS}/passed/{{song}}/passed.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        song=told(lambda wildcards: wildcards.song),
        facts=facts_of_old,
        limits=settings.limits,
    message:
        "{wildcards.song}: quality gates"
    script:
        "../scripts/passed.py"
