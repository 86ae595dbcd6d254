rule page:
    input:
        mix=lambda wildcards: mix_file(plan.songs[wildcards.song].mix.key),
        # Written after the stems that the page is made of, and with what was measured of them.
        provenance=f"{RESULTS}/{{song}}/provenance.json",
    output:
        page=page_file("{song}"),
    log:
        f"{LOGS}/page/{{song}}/page.log",
    group:
        allocation(results)
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=AROUND,
        lanes=1,
    params:
        # A song that is measured anew loses its page (stages/report.py).
        task=told(page_task),
    message:
        "{wildcards.song}: making its page"
    script:
        "../scripts/page.py"
