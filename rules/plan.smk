# What a run would take, and what became of the last one: targets to ask for by name. They are no files that a job makes,
# so that they are always done when asked for.
rule plan:
    log:
        f"{LOGS}/plan.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        file=f"{RESULTS}/plan.tsv",
        # All of it is found out where the plan is; the job only writes it down.
        table=told(lambda wildcards: plan_rows()),
        notes=told(lambda wildcards: plan_notes()),
    message:
        "The plan"
    script:
        "../scripts/plan.py"


rule summary:
    log:
        f"{LOGS}/summary.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        file=SUMMARY,
    message:
        "The last run"
    script:
        "../scripts/summary.py"
