"""Trains the demo model on CPU in two processes; the same command goes on where the last run stopped."""

import argparse
import json
import os
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn import functional as F

import chat
from data import Packer, any_sample
from fp8 import rounded
from model import Demo
from optimizer import Optimizer

ROWS, LENGTH = 6, 512  # per process and step


def load_config():
    config = json.loads((Path(__file__).parent / "config.json").read_text())
    named = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    named |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return config | {key: chat.token(text) for key, text in named.items()}


def loss_of(model, batch):
    """Weighted cross entropy of the learned tokens, and the experts' balance loss."""
    seq = model.sequence(batch["place"], batch["positions"])
    hidden = model(model.embed(batch["ids"], batch["images"]), seq)
    each, weight = token_losses(model, hidden, batch, 1)
    return (each * weight).sum() / weight.sum(), model.balance()


def mtp_loss_of(model, batch):
    """The same for the draft head: from the final hidden state and the next token to the one after it."""
    with torch.no_grad():
        seq = model.sequence(batch["place"], batch["positions"])
        embedded = model.embed(batch["ids"], batch["images"])
        hidden = model(embedded, seq)
    drafted = model.mtp(embedded.roll(-1, 1), hidden, seq)
    each, weight = token_losses(model, drafted, batch, 2)
    return (each * weight).sum() / weight.sum(), model.mtp.layers[0].mlp.balance


def token_losses(model, hidden, batch, ahead):
    """Cross entropy and weight of each learned token, read from the hidden state `ahead` places before."""
    weight = batch["learn"][:, ahead:].reshape(-1)
    chosen = weight.nonzero().squeeze(1)
    target = batch["ids"][:, ahead:].reshape(-1)[chosen]
    logits = model.lm_head(hidden[:, :-ahead].reshape(-1, hidden.shape[-1])[chosen]).float()
    return F.cross_entropy(logits, target, reduction="none"), weight[chosen]


def schedule(done, total):
    """A short warm-up, then constant, then linear to zero over the last third."""
    return min(1.0, done / 3e5 + 0.02, max(0.0, (total - done) / (0.33 * total)))


def share_gradients(model):
    """Sums over processes; a process without pictures in its rows has no gradient for the vision tower."""
    used = [p for n, p in model.named_parameters() if p.requires_grad]
    for p in used:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    grads = [p.grad for p in used]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    scale = min(1.0, 1.0 / (flat.norm().item() + 1e-6))
    for g, part in zip(grads, flat.split([g.numel() for g in grads])):
        g.copy_(part.view_as(g)).mul_(scale)


def worker(rank, args):
    torch.set_num_threads(1)
    torch._dynamo.config.cache_size_limit = 64
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(args.port)}
    dist.init_process_group("gloo", rank=rank, world_size=args.processes, timeout=timedelta(minutes=30))
    torch.manual_seed(0)
    model = Demo(load_config())
    drafting = args.stage == "mtp"
    model.requires_grad_(not drafting)
    model.mtp.requires_grad_(drafting)
    optimizer, packer, done = Optimizer(model), Packer(100 + rank, any_sample), 0
    saved, mine = args.out / f"{args.stage}.pt", args.out / f"{args.stage}-data-{rank}.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=False)
        model.load_state_dict(state["model"])
        optimizer.load(state["optimizer"])
        done = state["tokens"]
        packer.draw.setstate(torch.load(mine, weights_only=False))
    elif drafting:
        model.load_state_dict(torch.load(args.out / "trunk.pt", weights_only=False)["model"])
    for layer in [*model.model["language_model"].layers, *model.mtp.layers]:
        layer.forward = torch.compile(layer.forward, dynamic=False)
    log = open(args.out / f"{args.stage}.jsonl", "a") if rank == 0 else None
    last_save = last_log = time.time()
    step, seen, kept = 0, done, []
    while done < args.tokens:
        progress = 1.0 if drafting else min(1.0, done / (0.45 * args.tokens))
        t0 = time.process_time()
        batch = packer.batch(ROWS, LENGTH, progress)
        t1 = time.process_time()
        with rounded(model, drafting or done > 0.8 * args.tokens), torch.autocast("cpu", torch.bfloat16):
            loss, balance = (mtp_loss_of if drafting else loss_of)(model, batch)
            (loss + 0.01 * balance).backward()
        t2 = time.process_time()
        share_gradients(model)
        t3 = time.process_time()
        optimizer.step(schedule(done, args.tokens))
        optimizer.zero_grad()
        done += args.processes * ROWS * LENGTH
        step += 1
        t4 = time.process_time()
        kept.append((loss.item(), balance.item(), t1 - t0, t2 - t1, t3 - t2, t4 - t3))
        if rank == 0 and step % 10 == 0:
            means = [sum(x) / len(kept) for x in zip(*kept)]
            line = {"tokens": done, "loss": round(means[0], 4), "balance": round(means[1], 3)}
            line |= {"cpu": [round(x, 3) for x in means[2:]]}
            line |= {"rate": round((done - seen) / (time.time() - last_log)), "time": round(time.time())}
            print(json.dumps(line), file=log, flush=True)
            last_log, seen, kept = time.time(), done, []
        if step % 150 == 0 or done >= args.tokens:
            if rank == 0:
                save(model, optimizer, done, saved)
            torch.save(packer.draw.getstate(), mine)


def save(model, optimizer, done, path):
    fresh = path.with_suffix(".new")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state(), "tokens": done}, fresh)
    fresh.rename(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("/var/tmp/demo-train"))
    parser.add_argument("--stage", choices=["trunk", "mtp"], default="trunk")
    parser.add_argument("--tokens", type=float, default=24e6)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--port", type=int, default=29511)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    mp.spawn(worker, (args,), nprocs=args.processes)
