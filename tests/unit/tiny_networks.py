"""Small, untrained networks of each class of demucs, and checkpoints of them in upstream's form."""

from pathlib import Path
from typing import Any

import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from unbraid.catalogue import Model, Source, Weights

STEMS = ("drums", "bass", "other", "vocals")
HT = {"channels": 8, "nfft": 512, "depth": 2, "bottom_channels": 16, "t_layers": 2, "t_heads": 2}
ARGUMENTS = {
    HTDemucs: {"sources": list(STEMS), "segment": 1, **HT},
    HDemucs: {"sources": list(STEMS), "channels": 4, "nfft": 1024, "depth": 5},
    Demucs: {"sources": list(STEMS), "channels": 4, "depth": 3},
}


def network(klass: type = HTDemucs, seed: int = 0, **changes: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    return klass(**{**ARGUMENTS[klass], **changes}).eval()


def package(built: torch.nn.Module, *, half: bool = True) -> dict[str, Any]:
    """What upstream's training code stores of a network."""
    args, kwargs = built._init_args_kwargs
    state = {name: tensor.half() if half else tensor.clone() for name, tensor in built.state_dict().items()}
    return {"klass": type(built), "args": args, "kwargs": kwargs, "state": state, "training_args": {"lr": 3e-4}}


def checkpoint(path: Path, built: torch.nn.Module | None = None, **options: Any) -> Path:
    torch.save(package(built or network(), **options), path)
    return path


def model(*sources: Source, tensors: str | None = None, weights: tuple[Weights, ...] | None = None) -> Model:
    return Model(
        name="tiny",
        backend="demucs",
        architecture="HTDemucs",
        description="untrained",
        stems=STEMS,
        licence="CC0, made for a test",
        rate=44100,
        channels=2,
        weights=weights or (Weights("one", sources, tensors),),
    )
