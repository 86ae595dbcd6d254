# What `snakemake --report` shows, as far as it is there: a song that failed keeps no other out of it. No rules here.
def shown(path, caption, category, **labels):
    if not Path(path).is_file():
        return []
    marked = report(
        path, caption=f"rules/captions/{caption}.rst", category=category, labels=labels
    )
    return [marked]


def shown_of(song):
    planned = plan.songs[song]
    models = sorted({made.model.name for made in planned.separations.values()})
    labels = {
        "song": song,
        "recipe": planned.recipe.name,
        "preset": planned.preset,
        "models": ", ".join(models) or "none",
    }
    return shown(page_file(song), "song", "Songs", **labels)


def shown_in_report(songs):
    if not any(argument.startswith("--report") for argument in sys.argv):
        return []
    env = Path(workflow.basedir) / "envs" / Path(STACK).name
    return [
        *shown(SUMMARY, "summary", "Summary", table="the last run"),
        *shown(INDEX, "index", "Summary", table="all songs"),
        *shown(str(env), "environment", "Environment", file=env.name),
        *[file for song in songs for file in shown_of(song)],
    ]
