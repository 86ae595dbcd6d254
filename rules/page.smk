rule page:
    input:
        unpack(page_input),
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
        **STEMS_DISK,
        mem_mb=memory(500),
        runtime=AROUND,
        lanes=1,
    params:
        # A song that is measured anew loses its page (stages/report.py).
        facts=facts_of_old,
        task=told(page_task),
    message:
        "{wildcards.song}: making its page"
    script:
        "../scripts/page.py"
