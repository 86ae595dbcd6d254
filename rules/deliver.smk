# One rule per recipe, because a rule's outputs are fixed and recipes differ in stems; one job per song and format.
for recipe_name, recipe_entry in plan.recipes.items():

    rule:
        name:
            f"deliver_{recipe_name}"
        input:
            unpack(deliver_input),
        output:
            stems=[
                f"{RESULTS}/{{song}}/{stem}.{{format}}" for stem in recipe_entry.stems
            ],
            report=passing(f"{WORK}/delivered/{{song}}/{{format}}.{recipe_name}.json"),
        log:
            f"{LOGS}/deliver/{{song}}/{{format}}.{recipe_name}.log",
        wildcard_constraints:
            song=songs_of(recipe_name),
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
            # Where they are may change; what they are made of decides whether to deliver again.
            expressions=lambda wildcards: plan.songs[wildcards.song].expressions,
            task=told(deliver_task),
            asked=lambda wildcards: settings.delivery(wildcards.format),
        message:
            "{wildcards.song}: delivering {wildcards.format}"
        script:
            "../scripts/deliver.py"
