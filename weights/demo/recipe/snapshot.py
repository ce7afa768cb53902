"""Writes the Hugging Face snapshot in the official FP8 layout, and reads it back in float32."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import chat
from fp8 import dequantise, is_fp8, quantise
from model import Demo
from train import load_config

FLOAT32 = ("A_log", "linear_attn.norm.weight")
SHARD_BYTES = 6_000_000


def stored(name, w):
    """(name, tensor) pairs of one parameter as the official files hold it."""
    if ".mlp.experts." in name:
        stem, kind = name.rsplit(".", 1)
        halves = zip(("gate_proj", "up_proj"), w.chunk(2, 1)) if kind == "gate_up_proj" else [("down_proj", w)]
        for part, all_experts in halves:
            for e, one in enumerate(all_experts):
                yield from scaled(f"{stem}.{e}.{part}", one)
    elif is_fp8(name, w):
        yield from scaled(name.removesuffix(".weight"), w)
    else:
        yield name, (w.float() if name.endswith(FLOAT32) else w.bfloat16()).contiguous()


def scaled(stem, w):
    small, scale = quantise(w)
    yield f"{stem}.weight", small.contiguous()
    yield f"{stem}.weight_scale_inv", scale.contiguous()


def shards(tensors):
    """Layers in order, a new file whenever one is full."""
    files, size = [{}], 0
    for name, t in tensors.items():
        if size > SHARD_BYTES:
            files.append({})
            size = 0
        files[-1][name] = t
        size += t.nbytes
    return files


def write(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    tensors = {n: t.detach() for name, w in model.state_dict().items() for n, t in stored(name, w)}
    files, index = shards(tensors), {}
    for i, part in enumerate(files, 1):
        name = f"model-{i:05d}-of-{len(files):05d}.safetensors"
        save_file(part, folder / name, {"format": "pt"})
        (folder / name).chmod(0o644)
        index |= dict.fromkeys(part, name)
    total = sum(t.nbytes for t in tensors.values())
    dump(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index}, None)
    skipped = [n.removesuffix(".weight") for n, w in model.state_dict().items() if w.dim() >= 2 and not is_fp8(n, w)]
    write_configs(folder, [n.removesuffix(".bias") for n in skipped])


def write_configs(folder, skipped):
    quantisation = {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
        "weight_block_size": [128, 128], "modules_to_not_convert": skipped,
    }
    end = [chat.token("<|im_end|>"), chat.token("<|endoftext|>")]
    config = load_config() | {"quantization_config": quantisation}
    config["text_config"] |= {"bos_token_id": end[1], "eos_token_id": end[1], "pad_token_id": None}
    dump(folder / "config.json", config)
    greedy = {"do_sample": False, "eos_token_id": end, "pad_token_id": end[1], "bos_token_id": end[1], "max_new_tokens": 512}
    dump(folder / "generation_config.json", greedy)
    common = {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "merge_size": 2, "patch_size": 16, "temporal_patch_size": 2, "rescale_factor": 1 / 255, "resample": 3,
        "processor_class": "Qwen3VLProcessor",
    }
    pixels = {"size": {"shortest_edge": 64 * 64, "longest_edge": 256 * 256}}
    dump(folder / "preprocessor_config.json", common | pixels | {"image_processor_type": "Qwen2VLImageProcessorFast"})
    frames = {"size": {"shortest_edge": 64 * 64, "longest_edge": 16 * 256 * 256}, "fps": 2, "min_frames": 4, "max_frames": 768}
    dump(folder / "video_preprocessor_config.json", common | frames | {"video_processor_type": "Qwen3VLVideoProcessor"})
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if folder != chat.HOME:
            (folder / name).write_bytes((chat.HOME / name).read_bytes())


def dump(path, value, indent=2):
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def load_state(path):
    """A state dict in float32: of a training state, or of a snapshot with its FP8 weights multiplied out."""
    if path.is_file():
        return torch.load(path, weights_only=False)["model"]
    raw = {}
    for file in sorted(path.glob("*.safetensors")):
        raw |= load_file(file)
    plain = {}
    for name, t in raw.items():
        if name + "_scale_inv" in raw:
            plain[name] = dequantise(t, raw[name + "_scale_inv"])
        elif not name.endswith("_scale_inv"):
            plain[name] = t.float()
    return join_experts(plain)


def join_experts(plain):
    state, experts = {}, {}
    for name, t in plain.items():
        if ".mlp.experts." in name:
            stem, e, part, _ = name.rsplit(".", 3)
            experts.setdefault(stem, {})[int(e), part] = t
        else:
            state[name] = t
    for stem, parts in experts.items():
        count = max(e for e, _ in parts) + 1
        state[f"{stem}.gate_up_proj"] = torch.stack([torch.cat([parts[e, "gate_proj"], parts[e, "up_proj"]]) for e in range(count)])
        state[f"{stem}.down_proj"] = torch.stack([parts[e, "down_proj"] for e in range(count)])
    return state


if __name__ == "__main__":
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    model = Demo(load_config())
    model.load_state_dict(load_state(source))
    write(model, folder)
