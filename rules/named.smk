# The delivered files once more, in one folder, by names made from the songs' tags. No song's id has a space.
rule named:
    input:
        lambda wildcards: named_input(),
    output:
        directory(f"{RESULTS}/by name"),
    log:
        f"{LOGS}/named.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        # What the files are made of: when that changes, they are others.
        made=lambda wildcards: named_facts(),
        files=told(lambda wildcards: {song: delivered_files(song) for song in wanted}),
        template=lambda wildcards: settings.names,
    message:
        "Naming the delivered files"
    script:
        "../scripts/named.py"
