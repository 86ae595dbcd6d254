"""What a run will take, from what runs before it took: the second song is known from the first."""

import dataclasses

import pytest

from planned_songs import plan_of
from unbraid import forecast, measured, workload
from unbraid.forecast import Machine, wall
from unbraid.measured import Ran
from unbraid.speeds import Speeds

HERE = Machine(cores=2, here=True, device="cpu")
MODEL, LOAD, CHUNK = "htdemucs", 5.0, 3.0  # seconds
JOB = {"convert": 0.6, "segment": 0.6, "merge": 0.8, "deliver": 0.8, "report": 1.0}


def truth(plan, jobs, engine="openvino", disturbed=1.0):
    """A made-up machine: what each job takes on it, and the manifest of each key, by key."""
    ran, manifests, begun, loaded = [], {}, 1000.0, False
    for stage, name in jobs:
        seconds = JOB.get(stage, 0.0) + 0.02 * workload.size(plan, (stage, name))[1]
        if stage == "separate":
            made = plan.works[name]
            length = plan.mixes[made.segments.mix].duration
            chunks = -(-length // 5.85)
            lanes = 2 if engine == "openvino" else 1
            computed = CHUNK * -(-chunks // lanes) * disturbed
            manifests[made.key] = {
                "seconds": {"separate": computed + 1.0}, "loading": 1.0, "settings": made.settings, "threads": [2], "devices": ["cpu"],
                "engines": [engine], "passes": 1, "chunks": int(chunks), "chunk_seconds": 7.8,
            }  # fmt: skip
            seconds = computed + (0.5 if loaded else LOAD)
            loaded = True
        ran.append(Ran((stage, name), begun, seconds))
        begun += seconds
    return ran, manifests


def learn(tmp_path, lengths, **changes):
    config, plan, wanted = plan_of(tmp_path, lengths)
    ran, manifests = truth(plan, workload.planned(plan, wanted, ()), **changes)
    return measured.lines(plan, ran, 3.0, lambda key: manifests.get(key, {}), config, HERE)


def predict(tmp_path, lengths, known, machine=HERE, parts=None, **config):
    settings, plan, wanted = plan_of(tmp_path, lengths, **config)
    jobs = workload.planned(plan, wanted, ())
    return plan, jobs, forecast.forecast(plan, jobs, wanted, known, machine, settings, parts or {})


@pytest.mark.parametrize(("first", "second"), [(10, 60), (60, 10), (10, 10), (60, 300), (7, 240)])
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_second_song_is_known_within_30_percent_from_the_first_whatever_their_lengths(
    tmp_path, first, second, engine
):
    known = Speeds(learn(tmp_path / "first", {"a": first}, engine=engine), [])
    plan, jobs, expected = predict(tmp_path / "second", {"b": second}, known)
    real = sum(one.seconds for one in truth(plan, jobs, engine=engine)[0])
    assert expected["b"].seconds == pytest.approx(real, rel=0.3)
    assert wall(expected.values(), known, HERE) == pytest.approx(real + 3, rel=0.3)


def test_songs_of_several_lengths_make_it_near_exact(tmp_path):
    lines = learn(tmp_path / "first", {"a": 10, "b": 35, "c": 90})
    known = Speeds(lines, [])
    plan, jobs, expected = predict(tmp_path / "second", {"d": 200}, known)
    assert expected["d"].seconds == pytest.approx(sum(one.seconds for one in truth(plan, jobs)[0]), rel=0.05)


def test_a_network_is_loaded_once_a_run_with_workers_and_for_each_job_without(tmp_path):
    known = Speeds(learn(tmp_path / "first", {"a": 10, "b": 10}), [])
    _, _, warm = predict(tmp_path / "first", {"a": 10, "b": 10}, known)
    _, _, cold = predict(tmp_path / "first", {"a": 10, "b": 10}, known, worker=False)
    assert warm["a"].seconds - warm["b"].seconds == pytest.approx(LOAD)
    assert cold["b"].seconds - warm["b"].seconds == pytest.approx(LOAD)


def test_other_presets_of_the_same_precision_are_known_by_their_chunks(tmp_path):
    known = Speeds(learn(tmp_path / "first", {"a": 116}), [])
    _, _, balanced = predict(tmp_path / "first", {"a": 116}, known)
    _, _, shifted = predict(tmp_path / "first", {"a": 116}, known, shifts=2)
    assert shifted["a"].separating - balanced["a"].separating == pytest.approx(balanced["a"].separating - LOAD, rel=0.1)


def test_what_nobody_measured_is_not_guessed(tmp_path):
    known = Speeds(learn(tmp_path / "first", {"a": 10}), [])
    _, _, expected = predict(tmp_path / "first", {"a": 10}, known, preset="quality")
    assert expected["a"].seconds is None
    assert wall(expected.values(), known, HERE) is None
    on_gpu = dataclasses.replace(HERE, device="cuda")
    _, _, expected = predict(tmp_path / "first", {"a": 10}, known, on_gpu, device="cuda")
    assert expected["a"].separating is None


def test_a_song_that_cannot_be_read_is_expected_to_take_nothing(tmp_path):
    known = Speeds([], [])
    _, _, expected = predict(tmp_path, {"bad": None}, known)
    assert (expected["bad"].seconds, expected["bad"].stored) == (0.0, 0.0)
    assert wall(expected.values(), known, HERE) == 0


def test_separations_of_a_batch_add_up_and_their_other_stages_run_beside_them(tmp_path):
    lengths = {name: 60 for name in "abcdefgh"}
    known = Speeds(learn(tmp_path, lengths), [])
    _, _, expected = predict(tmp_path, lengths, known)
    separating = sum(one.separating for one in expected.values())
    around = sum(one.around for one in expected.values())
    assert wall(expected.values(), known, HERE) == pytest.approx(separating + around / 2 + 3)


def test_a_run_leaves_few_lines_however_many_songs_it_had(tmp_path):
    few, many = learn(tmp_path / "few", {"a": 1}), learn(tmp_path / "many", {f"s{n}": 1 + n / 10 for n in range(60)})
    assert len(many) <= measured.KEPT * (len(few) + 1)
    sizes = [line["units"] for line in many if line["stage"] == "convert"]
    assert (min(sizes), max(sizes)) == (0.008, pytest.approx(0.0552))


def test_what_was_interrupted_or_silent_teaches_nothing_of_the_network(tmp_path):
    config, plan, wanted = plan_of(tmp_path, {"a": 10})
    ran, manifests = truth(plan, workload.planned(plan, wanted, ()))
    for spoilt in ({"chunks": 0}, {"engines": ["openvino", "torch"]}):
        found = measured.lines(plan, ran, 3.0, lambda key, spoilt=spoilt: {**manifests[key], **spoilt}, config, HERE)
        assert "separate" not in {line["stage"] for line in found}
    assert "separate" not in {line["stage"] for line in measured.lines(plan, ran, 3.0, lambda key: {}, config, HERE)}


def test_songs_that_were_computed_together_count_as_one_after_another(tmp_path):
    """Each waits for the other's chunks: together they take what they take, not twice as much."""
    config, plan, wanted = plan_of(tmp_path, {"a": 60, "b": 60})
    jobs = workload.planned(plan, wanted, ())
    ran, manifests = truth(plan, jobs)
    first, second = (one for one in ran if one.job[0] == "separate")
    for manifest in manifests.values():
        manifest["seconds"]["separate"] *= 2
    both = [dataclasses.replace(one, begun=first.begun, seconds=2 * second.seconds) for one in (first, second)]
    known = Speeds(measured.lines(plan, both, 3.0, lambda key: manifests[key], config, HERE), [])
    alone = Speeds(measured.lines(plan, ran, 3.0, truth(plan, jobs)[1].get, config, HERE), [])
    settings = plan.works[first.job[1]].settings
    together, apart = (one.network(MODEL, settings, gpu=False).cost.of(10) for one in (known, alone))
    assert together == pytest.approx(apart, rel=0.15)


def test_a_job_that_waited_for_the_network_to_be_loaded_tells_nothing_of_what_the_next_one_will_wait(tmp_path):
    config, plan, wanted = plan_of(tmp_path, {"a": 60, "b": 60})
    ran, manifests = truth(plan, workload.planned(plan, wanted, ()))
    first, second = (one for one in ran if one.job[0] == "separate")

    def stages(second_begun):
        late = dataclasses.replace(second, begun=second_begun)
        return [line["stage"] for line in measured.lines(plan, [first, late], 3.0, manifests.get, config, HERE)]

    assert "start" not in stages(first.begun + LOAD / 2)
    assert stages(first.begun + first.seconds).count("start") == 1
    assert stages(first.begun + LOAD / 2).count("load") == 1


def test_segments_that_an_earlier_run_has_done_take_no_time(tmp_path):
    known = Speeds(learn(tmp_path / "first", {"a": 100}), [])
    plan, _, whole = predict(tmp_path / "first", {"a": 100}, known, segment_seconds=25)
    (made,) = plan.songs["a"].separations.values()
    _, _, part = predict(tmp_path / "first", {"a": 100}, known, parts={made.work: 1}, segment_seconds=25)
    assert part["a"].separating - LOAD == pytest.approx((whole["a"].separating - LOAD) / 4)
    assert part["a"].around == whole["a"].around
