rule page:
    input:
        mix=lambda wildcards: mix_file(plan.songs[wildcards.song].mix.key),
        quality=quality_file("{song}"),
        # Written after the stems that the page is made of.
        provenance=f"{RESULTS}/{{song}}/provenance.json",
    output:
        page=page_file("{song}"),
    log:
        f"{LOGS}/page/{{song}}/page.log",
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        stems=told(lambda wildcards: delivered_files(wildcards.song)),
    message:
        "{wildcards.song}: making its page"
    script:
        "../scripts/page.py"
