"""Networks of transformers, small and with random weights: images, videos, sound, text."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from peers.zoo import lists
from peers.zoo.network import Named, Network

TOKENS = 12
"""How long a text is."""

VOCABULARY = 90
"""Ids are below it: no small model has fewer rows for them."""

_NARROW_EMBEDDINGS = ("albert", "convbert", "electra", "mobilebert")
_VIDEOS = ("timesformer", "videomae", "vivit", "vjepa2")


def small_config(kind: str) -> Any:
    """The configuration of a kind of model, with all sizes that it has made small."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    small = lists.small_configs()
    config_class = CONFIG_MAPPING[kind]
    usual = config_class()
    fields = {
        name: value
        for name, value in small["sizes"].items()
        if hasattr(usual, name)
        and not isinstance(getattr(usual, name), list | tuple)
        and (name == "use_cache" or not isinstance(getattr(usual, name), bool))
    }
    for alias, name in usual.attribute_map.items():
        if alias in fields and name in fields:
            del fields[alias]
    if isinstance(getattr(usual, "conv_stride", None), list | tuple) and hasattr(usual, "conv_dim"):
        fields |= small["speech"]
    fields |= small["kinds"].get(kind, {})
    config = config_class(**{name: value for name, value in fields.items() if value is not None})
    # The usual product of experts has no float64.
    config._experts_implementation = "batched_mm"
    return config


def small_model(kind: str) -> nn.Module:
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    config = small_config(kind)
    if kind == "perceiver":
        found: Any = transformers.PerceiverForMaskedLM
    elif type(config) in MODEL_MAPPING:
        found = MODEL_MAPPING[type(config)]
    else:
        found = getattr(transformers, type(config).__name__.replace("Config", "Model"))
    model_class = found[0] if isinstance(found, list | tuple) else found
    model: nn.Module = model_class(config)
    return model


def _image(kind: str) -> tuple[nn.Module, torch.Tensor]:
    model: Any = small_model(kind)
    config = model.config
    size = getattr(config, "image_size", None) or getattr(config, "crop_size", None) or 64
    extents = tuple(size) if isinstance(size, list | tuple) else (size, size)
    channels = getattr(config, "num_channels", None) or getattr(config, "in_chans", 3)
    shape = [1, channels, *extents]
    if kind in _VIDEOS:
        shape.insert(1, getattr(config, "num_frames", None) or config.frames_per_clip)
    return Named(model, model.main_input_name), torch.randn(shape)


def _sound_shape(kind: str, config: Any) -> tuple[int, ...]:
    shapes: dict[str, Callable[[], tuple[int, ...]]] = {
        "audio-spectrogram-transformer": lambda: (1, config.max_length, config.num_mel_bins),
        "moonshine": lambda: (1, 4000),
        "parakeet_encoder": lambda: (1, 40, config.num_mel_bins),
        "speech_to_text": lambda: (1, 40, config.input_feat_per_channel),
        "wav2vec2-bert": lambda: (1, 20, config.feature_projection_input_dim),
        "whisper": lambda: (1, config.num_mel_bins, 40),
        **dict.fromkeys(("dac", "encodec", "mimi"), lambda: (1, 1, 640)),
    }
    return shapes[kind]() if kind in shapes else (1, 640)


def _sound(kind: str, encoder: bool = False) -> tuple[nn.Module, torch.Tensor]:
    model: Any = small_model(kind)
    part = model.get_encoder() if encoder else model
    return Named(part, part.main_input_name), torch.randn(_sound_shape(kind, model.config))


def _embedded_text(kind: str) -> tuple[nn.Module, torch.Tensor]:
    """A model of text, given embeddings; of two parts, both are given the same."""
    model: Any = small_model(kind)
    config = model.config
    width = config.embedding_size if kind in _NARROW_EMBEDDINGS else config.hidden_size
    names = ["inputs_embeds"]
    if config.is_encoder_decoder:
        names.append("decoder_inputs_embeds")
    return Named(model, *names), torch.randn(1, TOKENS, width)


def _text(kind: str, encoder: bool = False) -> tuple[nn.Module, torch.Tensor]:
    """A model of text, given ids; of two parts, both are given the same."""
    model: Any = small_model(kind)
    part = model.get_encoder() if encoder else model
    names = [part.main_input_name]
    fixed = {}
    if kind == "whisper":
        names = ["decoder_input_ids"]
        fixed["input_features"] = torch.randn(_sound_shape(kind, model.config))
    elif model.config.is_encoder_decoder and not encoder:
        names.append("decoder_input_ids")
    if kind == "layoutlm":
        corner = torch.randint(0, 32, (1, TOKENS, 2))
        fixed["bbox"] = torch.cat([corner, corner + torch.randint(1, 30, (1, TOKENS, 2))], -1)
    return Named(part, *names, **fixed), torch.randint(VOCABULARY, (1, TOKENS))


def networks() -> list[Network]:
    names = lists.networks()["transformers"]
    found = [
        *((kind, partial(_image, kind)) for kind in names["images"]),
        *((kind, partial(_sound, kind)) for kind in names["sounds"]),
        *((kind, partial(_sound, kind, encoder=True)) for kind in names["encoders_of_sounds"]),
        *((kind, partial(_embedded_text, kind)) for kind in names["texts"]),
    ]
    of_ids = [
        *((kind, partial(_text, kind)) for kind in names["ids"]),
        *((f"{kind} encoder", partial(_text, kind, True)) for kind in names["encoders_of_ids"]),
    ]
    return [
        *(Network(f"transformers {name}", make) for name, make in found),
        *(Network(f"transformers {name} of ids", make, VOCABULARY) for name, make in of_ids),
    ]
