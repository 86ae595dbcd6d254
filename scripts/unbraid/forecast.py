"""What a run will take for each song: time, and room on the disk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from unbraid import estimates, shares, workload
from unbraid.backends import registry
from unbraid.config import Config
from unbraid.plan import Plan, Separation
from unbraid.speeds import Speeds
from unbraid.workload import Job

MEASURED = ("convert", "have", "segment", "merge", "ensemble", "prompt", "deliver", "report", "page")
"""The stages around the network whose time is estimated; fetching a model depends on the network connection."""


@dataclass(frozen=True)
class Machine:
    """Where a run computes. cores: that it was given. here: its jobs run on this machine, whose devices are known."""

    cores: int
    here: bool
    device: str

    @property
    def gpu(self) -> bool:
        return shares.uses_gpu(self.device, here=self.here)

    def __str__(self) -> str:
        if not self.here:
            return f"the machines that its jobs are sent to (device={self.device})"
        return f"{'the GPU' if self.gpu else 'the CPU'} of this machine (device={self.device}), {self.cores} cores"


@dataclass
class Expected:
    """Of one song. What it shares with a song before it is that one's.

    around, separating: seconds of its jobs, one after another; None where the speed is not known.
    share: of the machine that its separations take (see `estimates.wall`). stored, passing, delivered: bytes that come into
    store, work/ and results/.
    """

    around: float | None = 0.0
    separating: float | None = 0.0
    share: float = 0.0
    stored: float = 0.0
    passing: float = 0.0
    delivered: float = 0.0

    @property
    def seconds(self) -> float | None:
        return _sum(self.around, self.separating)


def forecast(
    plan: Plan,
    jobs: Iterable[Job],
    songs: Iterable[str],
    speeds: Speeds,
    machine: Machine,
    config: Config,
    parts: Mapping[str, int],
) -> dict[str, Expected]:
    """For each of the songs. A song that cannot be read is expected to take nothing: it fails at once.

    parts: segments that are left to do of a separation, where an earlier run has done some.
    """
    expected = {song: Expected() for song in songs}
    users = workload.needed(plan, expected)
    loaded: set[str] = set()
    for job in jobs:
        owner = users.get(job, [""])[0]
        if owner not in expected or plan.songs[owner].mix.sha256 is None:
            continue
        mine = expected[owner]
        if job[0] == "separate":
            made = plan.works[job[1]]
            share = share_of(plan, made, machine, config)
            # Chunks of songs that go together are measured as if these came one after another (see `unbraid.measured`).
            mine.share = max(mine.share, 1.0 if share.joint else share.percent / 100 or 1.0)
            count = parts.get(job[1], made.segments.count)
            mine.separating = _sum(mine.separating, _separating(plan, made, share, speeds, machine, count))
            warm = config.worker and registry.find(made.model.backend).warm
            loads = int(made.model.name not in loaded) if warm else count
            mine.separating = _sum(mine.separating, loads * (speeds.least("load", made.model.name) or 0.0))
            loaded.add(made.model.name)
        elif job[0] in MEASURED:
            kind, units = workload.size(plan, job)
            cost = speeds.cost(job[0], kind)
            mine.around = _sum(mine.around, cost.of(units) if cost else None)
        mine.stored += workload.stored(plan, job)
        mine.passing += workload.passing(plan, job)
        mine.delivered += workload.delivered(plan, job, config.bit_depth)
    return expected


def wall(expected: Iterable[Expected], speeds: Speeds, machine: Machine) -> float | None:
    """Seconds of the whole run, Snakemake's own start included; None where any of it is not known."""
    busy = [one for one in expected if one.seconds != 0]
    if any(one.seconds is None for one in busy):
        return None
    start = speeds.cost("run")
    parts = [(one.around or 0.0, one.separating or 0.0, one.share) for one in busy]
    return estimates.wall(parts, machine.cores) + (start.start if start else 0.0)


def share_of(plan: Plan, made: Separation, machine: Machine, config: Config) -> shares.Share:
    duration = plan.mixes[made.segments.mix].duration
    return shares.share(
        made.model.backend,
        made.settings,
        config.device,
        here=machine.here,
        warm=config.worker and registry.find(made.model.backend).warm,
        seconds=duration / made.segments.count,
        cores=machine.cores,
    )


def _separating(
    plan: Plan, made: Separation, share: shares.Share, speeds: Speeds, machine: Machine, count: int
) -> float | None:
    """Seconds of `count` segments of a separation, loading its network aside."""
    network = speeds.network(made.model.name, made.settings, gpu=machine.gpu)
    if network is None:
        return None
    segments, settings = made.segments.count, made.settings
    passes = network.passes * max(1, settings.get("shifts", 0))
    duration = plan.mixes[made.segments.mix].duration
    chunks = estimates.chunk_count(duration, segments, settings.get("overlap", 0.0), network.chunk_seconds, passes)
    rounds = estimates.rounds(chunks, segments, share.threads if network.aside else 1)
    start = speeds.cost("start", made.model.name)
    return (network.cost.of(rounds) + (start.start * segments if start else 0.0)) * count / segments


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
