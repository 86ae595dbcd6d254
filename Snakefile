from snakemake.utils import min_version

min_version("9.27")

# Imported from a tag. Of a file at the top of a repository Snakemake 9.27 takes its includes for absolute paths.
if getattr(workflow.included_stack[-1], "path", "") == "Snakefile":
    workflow.included_stack[-1].path = "./Snakefile"


pathvars:
    work="work",


configfile: workflow.source_path("config/config.yaml")


include: "rules/sources.smk"
include: "rules/patches.smk"
include: "rules/common.smk"
include: "rules/shares.smk"
include: "rules/files.smk"
include: "rules/storage.smk"
include: "rules/allocations.smk"
include: "rules/together.smk"
include: "rules/forecast.smk"
include: "rules/left.smk"
include: "rules/hooks.smk"
include: "rules/model.smk"
include: "rules/convert.smk"
include: "rules/have.smk"
include: "rules/segment.smk"
include: "rules/prompt.smk"
include: "rules/separate.smk"
include: "rules/preview.smk"
include: "rules/merge.smk"
include: "rules/ensemble.smk"
include: "rules/deliver.smk"
include: "rules/report.smk"
include: "rules/page.smk"
include: "rules/passed.smk"
include: "rules/stem_mp4.smk"
include: "rules/named.smk"
include: "rules/cache.smk"
include: "rules/plan.smk"
include: "rules/overview.smk"


report: "rules/captions/workflow.rst"


rule all:
    default_target: workflow.modifier.is_main_snakefile()
    input:
        [song_targets(song) for song in wanted],
        shown_in_report(wanted),


rule demo:
    input:
        lambda wildcards: song_targets("demo"),
        shown_in_report(["demo"]),


rule models:
    input:
        model_targets(wanted or ["demo"]),
