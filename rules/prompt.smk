# What a prompt means to a model, encoded once for all songs and segments that ask the same.
rule prompt:
    input:
        unpack(prompt_input),
    output:
        passing(f"{WORK}/prompts/{{key}}.safetensors"),
    log:
        f"{LOGS}/prompt/{{key}}.log",
    conda:
        STACK_OF_NETWORK
    threads: THREADS
    resources:
        gpu=lambda wildcards: on_gpu() or None,
        gpu_percent=lambda wildcards: 100 * (workflow.local_exec and on_gpu()) or None,
        mem_mb=memory(4000),
        runtime=PROMPT,
        lanes=2,
    params:
        task=told(prompt_task),
    message:
        "Encoding the prompt {params.task[settings][prompt]!r}"
    script:
        "../scripts/prompt.py"
