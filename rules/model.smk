rule model:
    output:
        f"{settings.models}/{{model}}/model.json",
    log:
        f"{LOGS}/model/{{model}}.log",
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=2000,
    params:
        catalogue=lambda wildcards: plan.models[wildcards.model],
    message:
        "Fetching the model {wildcards.model}"
    script:
        "../scripts/model.py"
