# For DJs: the song and its four stems in one file, for songs whose recipe has these stems.
rule stem_mp4:
    input:
        unpack(stem_mp4_input),
    output:
        f"{RESULTS}/{{song}}/{stem_mp4.FILE}",
    log:
        f"{LOGS}/stem_mp4/{{song}}/stem_mp4.log",
    conda:
        STACK
    threads: 1
    resources:
        **STEMS_DISK,
        mem_mb=memory(500),
        runtime=AROUND,
        lanes=1,
    params:
        # Where they are may change; what they are made of decides whether to write the file again.
        expressions=lambda wildcards: stem_mp4_expressions(wildcards.song),
        stems=told(lambda wildcards: stem_mp4_files(wildcards.song)),
        mix=told(lambda wildcards: mix_file(plan.songs[wildcards.song].mix.key)),
        song=told(lambda wildcards: plan.songs[wildcards.song].song.path),
        clip=settings.clip,
    message:
        "{wildcards.song}: writing a stem file"
    script:
        "../scripts/stem_mp4.py"


rule stem_mp4s:
    input:
        lambda wildcards: stem_mp4_targets(),
