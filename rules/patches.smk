# What Snakemake does for the worse here, and a plugin of it. No rules. A workflow that imports this one has it as it is.
import sys

if workflow.modifier.is_main_snakefile():
    import functools
    import gc

    import snakemake.common
    import snakemake.rules
    from snakemake.dag import ScriptProcessor
    from snakemake.io import PeriodicityDetector

    # It takes a name like "la" * 20 for an endless recursion. Here only ids of the plan are songs: there is none.
    PeriodicityDetector.is_periodic = lambda detector, value: None

    # It finds out the arguments of each function of a rule whenever it calls it, several times for each job.
    function_arguments = functools.cache(snakemake.common.get_function_params)
    snakemake.common.get_function_params = function_arguments
    snakemake.rules.get_function_params = function_arguments

    # It reads the script of each job to see that it is there: of thousands of jobs, but of one rule they have the same.
    see_script, seen_scripts = ScriptProcessor.process_job, set()

    def see_script_of_rule(processor, job):
        if job.rule.name not in seen_scripts:
            see_script(processor, job)
            seen_scripts.add(job.rule.name)

    ScriptProcessor.process_job = see_script_of_rule

    # What a plan of thousands of songs is made of stays to the end; Python looks through it for garbage again and again.
    gc.set_threshold(100_000)

# The plugin for Kubernetes (0.5.1) asks what a pod that failed had said before it was started again. None ever is, which a
# cluster answers with an error, and that would end the run and leave its other pods behind.
plugin = sys.modules.get("snakemake_executor_plugin_kubernetes")
if plugin and workflow.modifier.is_main_snakefile():
    kubernetes = plugin.kubernetes.client
    read_log = kubernetes.CoreV1Api.read_namespaced_pod_log

    def read_log_of_pod(api, previous=False, **pod):
        try:
            return read_log(api, **pod)
        except kubernetes.rest.ApiException as error:
            return f"The log of the pod is not to be had: {error.reason}"

    kubernetes.CoreV1Api.read_namespaced_pod_log = read_log_of_pod
