# One rule per model, because a rule's outputs are fixed and models differ in stems. A key that is complete in the store
# has no producing rule in this run: it is a source file, so nothing below it is ever done again.
for model_name, model_entry in plan.models.items():
    model_keys = [
        key for key, made in plan.separations.items() if made.model.name == model_name
    ]
    missing = [key for key in model_keys if not plan.separations[key].complete]

    rule:
        name:
            f"merge_{model_name}"
        input:
            unpack(merge_input),
        output:
            stems=[
                temp(made_file("{key}", f"{stem}.wav")) for stem in model_entry.stems
            ],
            manifest=temp(made_file("{key}", "manifest.json")),
        log:
            f"{LOGS}/merge/{{key}}.log",
        wildcard_constraints:
            key=keys.only(missing, model_keys, keys.pattern(model_name)),
        group:
            allocation()
        conda:
            STACK
        threads: 1
        resources:
            **STEMS_DISK,
            mem_mb=memory(500),
            runtime=AROUND,
            lanes=1,
        params:
            task=told(merge_task),
        message:
            "{params.task[song]}: joining the segments"
        script:
            "../scripts/merge.py"
