# What the store holds: targets to ask for by name. They make no files.
rule cache_list:
    log:
        f"{LOGS}/cache_list.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    message:
        "The store"
    script:
        "../scripts/cache_list.py"


rule cache_verify:
    log:
        f"{LOGS}/cache_verify.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    message:
        "Verifying the store"
    script:
        "../scripts/cache_verify.py"


rule cache_clean:
    log:
        f"{LOGS}/cache_clean.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    message:
        "Cleaning the store"
    script:
        "../scripts/cache_clean.py"


rule cache_clear:
    log:
        f"{LOGS}/cache_clear.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    message:
        "Clearing the store"
    script:
        "../scripts/cache_clear.py"
