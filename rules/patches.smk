# Two things that Snakemake does for the worse here. No rules. A workflow that imports this one has it as it is.
from snakemake.dag import ScriptProcessor
from snakemake.io import PeriodicityDetector

# It takes a name like "la" * 20 for an endless recursion. Here only ids of the plan are songs: there is none.
if workflow.modifier.is_main_snakefile():
    PeriodicityDetector.is_periodic = lambda detector, value: None

# It reads the script of each job to see that it is there: of thousands of jobs, but of one rule they have the same.
see_script, seen_scripts = ScriptProcessor.process_job, set()


def see_script_of_rule(processor, job):
    if job.rule.name not in seen_scripts:
        see_script(processor, job)
        seen_scripts.add(job.rule.name)


if workflow.modifier.is_main_snakefile():
    ScriptProcessor.process_job = see_script_of_rule
