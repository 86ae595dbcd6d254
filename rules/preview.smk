# Models that take long let a song of several segments be heard before it is done. One rule per model, as with merge.
for model_name, model_entry in plan.models.items():
    if not previewed(model_entry):
        continue

    rule:
        name:
            f"preview_{model_name}"
        input:
            part=lambda wildcards: preview_input(wildcards),
        output:
            [
                f"{RESULTS}/{{song}}/preview/{{step}}.{{part}}.{stem}.flac"
                for stem in model_entry.stems
            ],
        log:
            f"{LOGS}/preview/{{song}}/{{step}}.{{part}}.{model_name}.log",
        wildcard_constraints:
            step=keys.one_of(
                [
                    step
                    for made in plan.recipes.values()
                    for step, name in made.models.items()
                    if name == model_name
                ]
            ),
        # Before other work, since someone waits to hear it.
        priority: 10
        group:
            allocation(preview_segments)
        conda:
            STACK
        threads: 1
        resources:
            **STEMS_DISK,
            mem_mb=memory(500),
            runtime=AROUND,
            lanes=1,
        message:
            "{wildcards.song}: segment {wildcards.part} of step {wildcards.step} can be heard"
        script:
            "../scripts/preview.py"
