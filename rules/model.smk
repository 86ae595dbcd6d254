# On the machine that Snakemake runs on: the nodes of a cluster often reach no network.
rule model:
    output:
        # Never in a storage: the weights beside it would not be.
        local(f"{settings.models}/{{model}}/model.json"),
    log:
        f"{LOGS}/model/{{model}}.log",
    wildcard_constraints:
        model=keys.one_of(list(plan.models)),
    localrule: True
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


# Prints the models that match the configuration's `filter`.
rule models_list:
    log:
        f"{LOGS}/models_list.log",
    localrule: True
    conda:
        STACK
    threads: 1
    resources:
        mem_mb=500,
    params:
        folders=[str(folder) for folder in CATALOGUES],
    message:
        "The models"
    script:
        "../scripts/models_list.py"
