rule report:
    input:
        stems=lambda wildcards: list(delivered_files(wildcards.song, settings.format).values()),
        mix=lambda wildcards: mix_file(plan.songs[wildcards.song].mix.key),
        mix_info=lambda wildcards: mix_file(plan.songs[wildcards.song].mix.key, "mix.json"),
        delivery=lambda wildcards: delivery_file(wildcards.song),
        manifests=lambda wildcards: list(manifest_files(wildcards.song).values()),
    output:
        quality=f"{RESULTS}/{{song}}/qc.json",
        provenance=f"{RESULTS}/{{song}}/provenance.json",
    log:
        f"{LOGS}/report/{{song}}/report.log",
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        song=lambda wildcards: song_facts(wildcards.song),
        stems=lambda wildcards: delivered_files(wildcards.song, settings.format),
        manifests=lambda wildcards: manifest_files(wildcards.song),
        expressions=lambda wildcards: expressions(wildcards.song),
    message:
        "{wildcards.song}: measuring what was delivered"
    script:
        "../scripts/report.py"
