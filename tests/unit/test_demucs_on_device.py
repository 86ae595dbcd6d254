"""HTDemucs without the host. Torch's `meta` device stands in for a GPU: what is not on it is the host's."""

import copy
from contextlib import nullcontext

import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stages_by_hand import REFERENCE, begun
from test_upstream_parity import tiny_model
from unbraid.backends import demucs_on_device
from unbraid.backends.session import Statistics

STATISTICS = Statistics(frames=44100, rate=44100, channels=2, mean=0.0, std=1.0, peak=1.0)


class Host(TorchDispatchMode):
    """`seen`: operations that touched a tensor of the host's. One that reads a value back fails, as `meta` has none."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        tensors = [leaf for leaf in tree_leaves((arguments, named, result)) if isinstance(leaf, torch.Tensor)]
        if not all(tensor.is_meta for tensor in tensors):
            self.seen.add(str(function))
        return result


@pytest.fixture
def networks(tmp_path):
    """A small network as upstream evaluates it, and as a GPU does."""
    made, folder, _ = tiny_model(tmp_path, HTDemucs)
    (upstream,) = begun(made, folder, STATISTICS, REFERENCE).networks
    kept = copy.deepcopy(upstream)
    demucs_on_device.keep(kept)
    return upstream, kept


def chunk(network, **where):
    return torch.randn(2, 2, int(network.segment * network.samplerate), generator=torch.Generator().manual_seed(1)).to(
        **where
    )


def decibels(found, true):
    return 10 * torch.log10((found - true).square().sum() / true.square().sum())


@torch.no_grad()
def test_the_stems_are_upstreams_but_for_rounding(networks):
    upstream, kept = networks
    found, true = kept(chunk(kept)), upstream(chunk(kept))
    assert not torch.equal(found, true)
    assert decibels(found, true) <= -110


@torch.no_grad()
def test_no_operation_of_a_batch_is_the_hosts(networks, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda kind, enabled: nullcontext())  # which knows no such device
    _, kept = networks
    kept.to("meta")
    shown = chunk(kept, device="meta")
    kept(shown)  # the embedding is made once
    with Host() as host:
        assert kept(shown).is_meta
    assert host.seen == set()


@torch.no_grad()
def test_a_value_that_is_read_back_fails_as_upstreams_does(networks):
    upstream, _ = networks
    upstream.to("meta")
    shown = chunk(upstream, device="meta")
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        upstream(shown)


@torch.no_grad()
def test_an_embedding_that_is_made_anew_is_seen(networks, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda kind, enabled: nullcontext())
    anew = demucs_on_device.transformer.create_2d_sin_embedding.__wrapped__
    monkeypatch.setattr(demucs_on_device.transformer, "create_2d_sin_embedding", anew)
    _, kept = networks
    kept.to("meta")
    shown = chunk(kept, device="meta")
    with Host() as host:
        kept(shown)
    assert "aten._to_copy.default" in host.seen


@torch.no_grad()
def test_in_half_precision_the_last_layers_are_in_float32(networks):
    _, kept = networks
    kinds = []
    for module in demucs_on_device.last(kept):
        module.register_forward_hook(lambda module, given, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = kept(chunk(kept))
    assert kinds == [torch.float32, torch.float32]
    assert -80 <= decibels(rounded, kept(chunk(kept))) <= -30
