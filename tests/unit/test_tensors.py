import hashlib
import struct

import pytest
import torch

from unbraid.backends import tensors
from unbraid.errors import UnbraidError


def test_the_digest_of_tensors_is_over_sorted_names_shapes_and_float32_bytes():
    state = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor([-0.5])}
    expected = b'["a", [1]]' + struct.pack("<f", -0.5) + b'["b", [1, 2]]' + struct.pack("<2f", 1, 2)
    assert tensors.digest(state) == hashlib.sha256(expected).hexdigest()


def test_the_digest_of_tensors_does_not_depend_on_the_precision_or_order_they_are_stored_in():
    state = {"a": torch.rand(3, 4).half(), "b": torch.rand(5).half()}
    digest = tensors.digest(state)
    assert tensors.digest({name: state[name].float() for name in ("b", "a")}) == digest
    assert tensors.digest({**state, "a": state["a"].T.contiguous().T}) == digest
    for other in (
        {**state, "a": state["a"].reshape(4, 3)},
        {"a": state["a"], "c": state["b"]},
        {**state, "b": -state["b"]},
    ):
        assert tensors.digest(other) != digest


def test_what_is_written_is_read_again(tmp_path):
    state = {"a": torch.rand(3, 4).half(), "b": torch.rand(5, 2).T}
    tensors.write(tmp_path / "a.safetensors", state, {"source": "a test"})
    found, metadata = tensors.read(tmp_path / "a.safetensors")
    assert metadata == {"source": "a test"}
    assert found["a"].dtype == torch.float16
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_a_file_of_another_kind_is_an_error_that_says_to_delete_it(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UnbraidError, match=r"Delete .*a\.safetensors"):
        tensors.read(tmp_path / "a.safetensors")
