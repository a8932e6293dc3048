"""Any text model type of transformers, tiny: its configuration's default, sizes shrunk by the names of the fields."""

import dataclasses
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_MAPPING_NAMES,
)

from stages.models.capture import biases, capture, shapes
from stages.models.load import Loaded, load_chosen
from stages.models.precision import computing
from stages.models.projections import Projection
from stages.models.prompts import Prompts
from stages.pipeline.schema import Model

#: Types with a causal or a masked language-model head.
TYPES = sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_MASKED_LM_MAPPING_NAMES})

MINI = Path(__file__).parents[1] / "data/models/gpt2-mini"
VOCABULARY = 300
#: What a default leaves open, or what only together is allowed.
OVERRIDES: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"num_hidden_layers": 6},
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {"encoder_hash_byte_group_vocab": 300},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
            for kind in ("full_attention", "sliding_attention")
        }
    },
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_audio_encoder": {"adapter_input_size": 64, "adapter_out_dim": 64},
    "dots3_note_text": {"num_hidden_layers": 2},
    "dots3_note_vision_encoder": {"pyramid_num_routed": [-1] * 4, "adapter_in_dim": 64, "adapter_out_dim": 64},
    "emu3": {"vocabulary_map": {"<image>": 5}, "vq_config": {"base_channels": 32}},
    "esm": {"vocab_size": VOCABULARY, "pad_token_id": 1, "mask_token_id": 2},
    "funnel": {"architectures": ["FunnelModel"]},
    "gemma3n_text": {"num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    **{name: {"head_dim": 16} for name in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral")},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": {"head_dim": 8},
    "mamba2": {"num_heads": 8},
    "nemotron_h": {"n_groups": 2},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "qwen4_exp_text": {
        **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 64},
        **{"indexer_compress_ratio": 4, "ngram_vocab_size_base": 100},
    },
    "reformer": {"axial_pos_shape": [16, 16], "axial_pos_embds_dim": [32, 32]},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 5, "layers_block_type": ["linear_attention", "hybrid"] * 2 + ["linear_attention"]},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zaya": {"num_experts_per_tok": 1},
}
#: What a field's name says → its size. The first that matches the whole name counts; only whole numbers are replaced.
SIZES = [
    (r"(pad|bos|(forced_)?eos|sep|cls|mask|decoder_start|eod|document)_token_id|.*_index|lang_id", 1),
    (r".*vocab_size.*", VOCABULARY),
    (r"num_hidden_layers|num_layers|n_layers?|(en|de)coder_layers|num_(en|de)coder_layers|num_blocks", 4),
    (r"(backbone_)?hidden_size|d_model|n_embd|dim|emb_dim|((in|out)put_)?embedding_size|embedding_dim|d_latents", 64),
    (r"(swa_)?num_(self_)?attention_heads|n_heads?|num_heads|(.*coder_)?attention_heads", 4),
    (r"(swa_)?num_key_value_heads", 2),
    (r".*intermediate_size.*|.*ffn_dim|.*ffn_hidden_size|d_inner|hidden_dim|dim_ff|dff|feed_forward_size", 48),
    (r"(swa_)?head_dim|d_head|dim_head|attention_head_size|kv_channels|v_head_dim|linear_(key|value)_head_dim", 16),
    (r"num_(local_)?experts|n_routed_experts|moe_num_experts", 4),
    (r"num_experts_per_tok|moe_topk|moe_k", 2),
    (r"n_group|topk_group|first_k_dense_replace", 1),
    (r"linear_num_(key_)?heads", 2),
    (r"linear_num_value_heads|mamba_n(um)?_heads|num_mem_blocks", 4),
    (r"mamba_d_state|ssm_state_size|linear_head_dim|mamba_chunk_size", 16),
    (r"mamba_d_ssm", 128),
    (r"q_lora_rank", 24),
    (r"kv_lora_rank|o_lora_rank", 20),
    (r"qk_rope_head_dim|rotary_dim|index_head_dim", 8),
    (r"qk_nope_head_dim", 16),
    (r"max_position_embeddings|n_positions|n_ctx|max_seq_len", 128),
]


def shrink(name: str, value: Any) -> Any:
    """Return the size for a field, or its own value where no pattern knows its name."""
    if type(value) is not int:
        return value
    return next((small for pattern, small in SIZES if re.fullmatch(pattern, name)), value)


def tiny_config(config_class: type, overrides: dict[str, Any] | None = None) -> Any:
    """Build a configuration of small sizes, those inside it as well."""
    own = {**OVERRIDES.get(config_class.model_type, {}), **(overrides or {})}
    defaults = {field.name: field.default for field in dataclasses.fields(config_class)}
    given = {name: shrink(name, value) for name, value in defaults.items()}
    changed = {name: value for name, value in given.items() if value is not defaults[name]}
    if "kv_lora_rank" in given and "num_key_value_heads" in given:
        changed["num_key_value_heads"] = given["num_attention_heads"]
    for name, default in config_class.sub_configs_defaults.items():
        inner = CONFIG_MAPPING[default.model_type] if default.model_type else default.config_class
        changed[name] = tiny_config(inner, own.pop(name, None))
    return config_class(**{**changed, **own})


def build(model_type: str, dtype: torch.dtype = torch.float32, **overrides: Any) -> nn.Module:
    """Build a tiny model with random weights, biases among them."""
    torch.manual_seed(0)
    config = tiny_config(CONFIG_MAPPING[model_type], overrides)
    if dtype == torch.float64:
        config._experts_implementation = "eager"
    maker = AutoModel if model_type in MODEL_MAPPING_NAMES else AutoModelForCausalLM
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in maker.from_config(config).parameters())
    if size > 5e7:
        raise ValueError(f"{model_type} has {size:.0e} parameters: shrink it")
    with computing(dtype):
        model = maker.from_config(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases start at zero: an error in them would not show
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def load(name: Path | str = MINI, **chosen: Any) -> Loaded:
    """Load a model, on the processor and in single precision if not `chosen` otherwise, as the settings would."""
    usual = {"revision": "main", "part": "encoder", "weights": "pretrained", "seed": 0, "dtype": "float32"}
    usual |= {"device": "cpu", "device_map": "none", "max_memory": {}}
    return load_chosen(Model(**{**usual, "name": str(name), **chosen}))


def caught(
    model: nn.Module,
    projections: Sequence[Projection],
    prompts: Prompts,
    positions: Sequence[int] | None = None,
    rows: Sequence[int] = (),
) -> tuple[dict[str, np.ndarray], str, dict[str, str]]:
    """Capture into memory, every position if none is named: the arrays, the way taken, and those refused."""
    positions = range(prompts.positions) if positions is None else positions
    into = {name: np.full(s, np.nan) for name, s in shapes(projections, len(prompts.ids), len(positions)).items()}

    def write(name: str, row: int, block: np.ndarray) -> None:
        into[name][row : row + len(block)] = block

    way, refused = capture(model, projections, prompts, write, positions, rows)
    return {**into, **biases(projections)}, way, refused


def saved(model: PreTrainedModel | PreTrainedConfig, folder: Path) -> Path:
    """Save a model, or its configuration alone, with the embedded model's tokenizer."""
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MINI / name, folder / name)
    return folder
