rule report:
    input:
        unpack(report_input),
    output:
        quality=f"{RESULTS}/{{song}}/qc.json",
        provenance=f"{RESULTS}/{{song}}/provenance.json",
    log:
        f"{LOGS}/report/{{song}}/report.log",
    group:
        allocation(results)
    conda:
        STACK
    threads: 1
    resources:
        **STEMS_DISK,
        mem_mb=memory(500),
        runtime=AROUND,
        lanes=1,
    params:
        facts=lambda wildcards: song_facts(wildcards.song),
        manifests=told(lambda wildcards: manifest_files(wildcards.song)),
    message:
        "{wildcards.song}: measuring what was delivered"
    script:
        "../scripts/report.py"
