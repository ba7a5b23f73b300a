"""What a state dict calls the parameters of a graph: as the source did, where the graph says it.

A key is a dotted path of attributes: `layers.0.linear1.weight`. What the source has no name for
gets one beside its neighbours: the bias of `fc.weight` is `fc.bias`, and the second convolution of
no source is `conv2`.
"""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterator, Mapping

from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.names import dotted_name

Path = tuple[str, ...]
Keys = Mapping[tuple[int, str], str]
"""(tensor node id, payload field) to the key."""

IN_PYTORCH = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
"""What PyTorch calls the arrays of a normalisation."""

_SHORT = {"batchnorm": "norm", "layernorm": "norm", "conv2d": "conv"}

# The attributes of `nn.Module`, `nn.Sequential` and `nn.ModuleList`: no part takes one.
_TAKEN = frozenset(
    {
        *("T_destination", "_apply", "_backward_hooks", "_backward_pre_hooks", "_buffers"),
        *("_call_impl", "_compiled_call_impl", "_forward_hooks", "_forward_hooks_always_called"),
        *("_forward_hooks_with_kwargs", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
        *("_get_abs_string_index", "_get_backward_hooks", "_get_backward_pre_hooks"),
        *("_get_item_by_idx", "_get_name", "_is_full_backward_hook", "_load_from_state_dict"),
        *("_load_state_dict_post_hooks", "_load_state_dict_pre_hooks"),
        *("_maybe_warn_non_full_backward_hook", "_modules", "_named_members"),
        *("_non_persistent_buffers_set", "_parameters", "_register_load_state_dict_pre_hook"),
        *("_register_state_dict_hook", "_replicate_for_data_parallel", "_save_to_state_dict"),
        *("_slow_forward", "_state_dict_hooks", "_state_dict_pre_hooks", "_version"),
        *("_wrapped_call_impl", "add_module", "append", "apply", "bfloat16", "buffers"),
        *(
            "call_super_init",
            "children",
            "compile",
            "cpu",
            "cuda",
            "double",
            "dump_patches",
            "eval",
        ),
        *("extend", "extra_repr", "float", "forward", "get_buffer", "get_extra_state"),
        *("get_parameter", "get_submodule", "half", "insert", "ipu", "load_state_dict", "modules"),
        *("mtia", "named_buffers", "named_children", "named_modules", "named_parameters"),
        *(
            "parameters",
            "pop",
            "register_backward_hook",
            "register_buffer",
            "register_forward_hook",
        ),
        *("register_forward_pre_hook", "register_full_backward_hook"),
        *("register_full_backward_pre_hook", "register_load_state_dict_post_hook"),
        *("register_load_state_dict_pre_hook", "register_module", "register_parameter"),
        *("register_state_dict_post_hook", "register_state_dict_pre_hook", "requires_grad_"),
        *("set_extra_state", "set_submodule", "share_memory", "state_dict", "to", "to_empty"),
        *("train", "training", "type", "xpu", "zero_grad"),
    }
)


def place_of(node: Node) -> Path:
    """The attributes that lead to the module a node came from; none where nothing fit is said."""
    parts = tuple(dotted_name(node.origin).split("."))
    return parts if node.origin != "forward" and all(map(is_attribute, parts)) else ()


def is_attribute(part: str) -> bool:
    """Whether a module can have a part of this name: a position, or a name that is free."""
    if part.isdecimal():
        return part == str(int(part))
    fit = part.isascii() and part.isidentifier() and not keyword.iskeyword(part)
    return fit and not part.startswith("__") and part not in _TAKEN


def state_keys(graph: Graph) -> Keys:
    """The key of every array of a graph. Those of nodes without parameters change none."""
    keys: dict[tuple[int, str], str] = {}
    taken: set[str] = set()
    for node in graph.nodes:
        for field, key in node.keys:
            if _is_free(key, taken):
                keys[node.id, field] = key
                taken.update(_with_prefixes(key))
    counts: Counter[str] = Counter()
    for node in graph.nodes:
        missing = [s.field for s in graph.slots(node) if (node.id, s.field) not in keys]
        if not missing:
            continue
        known = [keys[node.id, field] for field, _ in node.keys if (node.id, field) in keys]
        owner = known[0].rpartition(".")[0] if known else ""
        names = {field: _beside(field) if known else _name(field) for field in missing}
        if not known or not all(_is_free(_join(owner, name), taken) for name in names.values()):
            owner = _new(".".join(place_of(node)), node.op.prefix, counts, taken)
        for field, name in names.items():
            key = owner if isinstance(node.op, Const) else _join(owner, name)
            keys[node.id, field] = key
            taken.update(_with_prefixes(key))
    return keys


def _name(field: str) -> str:
    return IN_PYTORCH.get(field, field)


def _beside(field: str) -> str:
    """The name of an array that the source holds in another form than the graph, if at all."""
    return "kernel" if field == "weight" else _name(field)


def _join(owner: str, name: str) -> str:
    return f"{owner}.{name}" if owner else name


def _with_prefixes(key: str) -> Iterator[str]:
    yield key
    while "." in key:
        key = key.rpartition(".")[0]
        yield f"{key}."


def _is_free(key: str, taken: set[str]) -> bool:
    """Whether a key is none that there is, and no module has its name."""
    parts = key.split(".")
    if not all(map(is_attribute, parts)) or parts[-1].isdecimal() or f"{key}." in taken:
        return False
    above = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return taken.isdisjoint(above)


def _new(place: str, prefix: str, counts: Counter[str], taken: set[str]) -> str:
    """The next name of its kind at a place, or around it where that is the name of an array."""
    while place and not _is_free(f"{place}.{prefix}", taken):
        place = place.rpartition(".")[0]
    stem = _join(place, _SHORT.get(prefix, prefix))
    while True:
        counts[stem] += 1
        name = f"{stem}{counts[stem]}"
        if f"{name}." not in taken and _is_free(name, taken):
            return name
