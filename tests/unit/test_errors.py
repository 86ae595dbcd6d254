import doctest
import pickle

from unbraid import errors, songs
from unbraid.errors import UnbraidError, suggest


def test_a_message_names_song_stage_and_remedy():
    error = UnbraidError("It is empty.", remedy="Get it again.", song="a/b", stage="convert")
    assert str(error) == "song 'a/b', stage convert: It is empty. Get it again."


def test_a_message_without_a_place_is_just_what_and_remedy():
    assert str(UnbraidError("No.", remedy="Yes.")) == "No. Yes."


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(UnbraidError("What.", remedy="Do.", song="s", stage="merge")))
    assert str(error) == "song 's', stage merge: What. Do."


def test_a_name_far_from_all_lists_what_is_known():
    assert suggest("zzz", ["vocals", "drums"]) == "Known: drums, vocals."
    assert suggest("zzz", []) == "Known: none."
    assert suggest("zzz", [f"name{i}" for i in range(30)]).endswith(", ….")


def test_the_examples_in_the_documentation_hold():
    assert doctest.testmod(errors).failed == 0
    assert doctest.testmod(songs).failed == 0
