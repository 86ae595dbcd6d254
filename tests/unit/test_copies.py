"""A job finds what the plan names among its inputs, wherever a storage has put them."""

from pathlib import Path

from unbraid.copies import here

PLANNED = "work/mix/key/mix.wav"


def test_what_is_passed_on_as_it_is_is_found_by_its_own_name():
    assert here(PLANNED, [PLANNED, "work/mix/key/mix.json"]) == Path(PLANNED)


def test_what_a_storage_carried_is_found_in_its_copy():
    copies = [f".snakemake/storage/s3/bucket/run/{name}" for name in ("other/mix.wav", PLANNED)]
    assert here(PLANNED, copies) == Path(copies[1])


def test_what_is_no_input_is_where_the_plan_has_it():
    assert here("/shared/store/stems/key/copy.wav", ["bucket/store/stems/key/manifest.json"]) == Path(
        "/shared/store/stems/key/copy.wav"
    )
