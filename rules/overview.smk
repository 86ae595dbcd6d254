# What `snakemake --report` shows, as far as it is there: a song that failed keeps no other out of it. No rules here.
def shown(path, caption, category, **labels):
    if not Path(path).is_file():
        return []
    marked = report(
        path, caption=f"rules/captions/{caption}.rst", category=category, labels=labels
    )
    return [marked]


def shown_of(song):
    # What lies there may be of another recipe than the next run's.
    quality = summary.read(Path(quality_file(song)))
    if not quality:
        return []
    labels = {
        "song": song,
        "recipe": quality["recipe"],
        "preset": quality["preset"],
        "models": ", ".join(quality["models"]) or "none",
    }
    return shown(page_file(song), "song", "Songs", **labels)


def shown_in_report(songs):
    if not any(argument.startswith("--report") for argument in sys.argv):
        return []
    env = HOME / "envs" / Path(STACK).name
    return [
        *shown(SUMMARY, "summary", "Summary", table="the last run"),
        *shown(INDEX, "index", "Summary", table="all songs"),
        *shown(str(env), "environment", "Environment", file=env.name),
        *[file for song in songs for file in shown_of(song)],
    ]
