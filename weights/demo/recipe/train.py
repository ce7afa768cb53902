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
from data import NAMES, Packer, any_sample
from fp8 import rounded
from model import Demo
from optimizer import Optimizer

ROWS, LENGTH = 3, 1024  # per process and step


def load_config():
    config = json.loads((Path(__file__).parent / "config.json").read_text())
    named = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    named |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return config | {key: chat.token(text) for key, text in named.items()}


def losses(model, batch):
    """Of the next token, of the draft head on the first row, of the experts' balance; and [skill]: sum and count of tokens."""
    learned = (batch["learn"] > 0).float()
    seq = model.sequence(batch["place"], batch["positions"], learned)
    embedded = model.embed(batch["ids"], batch["images"])
    hidden = model(embedded, seq)
    first = model.sequence(batch["place"][:1], batch["positions"][:, :1], learned[:1])
    drafted = model.mtp(embedded[:1].detach().roll(-1, 1), hidden[:1].detach(), first)
    head = model.lm_head.weight
    token, by_skill = token_loss(hidden, head, batch, 1)
    draft, _ = token_loss(drafted, head.detach(), batch, 2)
    return token, draft, model.balance() + model.mtp.layers[0].mlp.balance / 8, by_skill


def token_loss(hidden, head, batch, ahead):
    """Weighted cross entropy of the learned tokens, read from the hidden state `ahead` places before."""
    rows = len(hidden)
    weight = batch["learn"][:rows, ahead:].reshape(-1)
    chosen = weight.nonzero().squeeze(1)
    target = batch["ids"][:rows, ahead:].reshape(-1)[chosen]
    logits = F.linear(hidden[:, :-ahead].reshape(-1, hidden.shape[-1])[chosen], head).float()
    each = F.cross_entropy(logits, target, reduction="none")
    skill = batch["skill"][:rows, ahead:].reshape(-1)[chosen]
    by_skill = [torch.bincount(skill, w, len(NAMES)) for w in (each.detach().double(), None)]
    return (each * weight[chosen]).sum() / weight.sum(), torch.stack(by_skill)


def schedule(done, total):
    """A short warm-up, then constant, then linear to zero over the last quarter."""
    return min(1.0, done / 3e5 + 0.02, max(0.0, (total - done) / (0.25 * total)))


def budget(args):
    """--tokens, or what the file `budget` in the state folder says now: the plan may change while training runs."""
    plan = args.out / "budget"
    return float(plan.read_text()) if plan.exists() else args.tokens


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
    optimizer, packer = Optimizer(model), Packer(100 + rank, any_sample)
    done = resume(model, optimizer, packer, args.out, rank)
    for layer in [*model.model["language_model"].layers, *model.mtp.layers]:
        layer.forward = torch.compile(layer.forward, dynamic=False)
    log = Log(args.out / "log.jsonl", done) if rank == 0 else None
    step = 0
    while done < min(total := budget(args), args.pause):
        batch = packer.batch(ROWS, LENGTH, min(1.0, done / (0.45 * total)))
        with rounded(model, done > 0.8 * total), torch.autocast("cpu", torch.bfloat16):
            token, draft, balance, by_skill = losses(model, batch)
            (token + draft + 0.03 * balance).backward()
        share_gradients(model)
        optimizer.step(schedule(done, total))
        optimizer.zero_grad()
        done += args.processes * ROWS * LENGTH
        step += 1
        if log:
            log.add(done, by_skill, token.item(), draft.item(), balance.item())
        if step % 100 == 0 or done >= min(total, args.pause):
            save(model, optimizer, packer, done, args.out, rank)


class Log:
    """A line of means every ten steps."""

    def __init__(self, path, done):
        self.file, self.rows, self.since, self.seen = open(path, "a"), [], time.time(), done
        self.by_skill = 0

    def add(self, done, by_skill, *values):
        self.rows.append(values)
        self.by_skill = self.by_skill + by_skill
        if len(self.rows) == 10:
            means = [round(sum(x) / 10, 4) for x in zip(*self.rows)]
            line = {"tokens": done} | dict(zip(("loss", "draft", "balance"), means))
            line |= {"rate": round((done - self.seen) / (time.time() - self.since)), "time": round(time.time())}
            line["skills"] = {name: round(total / max(count, 1), 3) for name, (total, count) in zip(NAMES, self.by_skill.T.tolist())}
            print(json.dumps(line), file=self.file, flush=True)
            self.rows, self.by_skill, self.since, self.seen = [], 0, time.time(), done


def resume(model, optimizer, packer, folder, rank):
    """Loads what was saved and returns the number of tokens seen so far."""
    if not (folder / "state.pt").exists():
        return 0
    state = torch.load(folder / "state.pt", weights_only=False)
    model.load_state_dict(state["model"])
    optimizer.load(state["optimizer"])
    packer.draw.setstate(torch.load(folder / f"data-{rank}.pt", weights_only=False))
    return state["tokens"]


def save(model, optimizer, packer, done, folder, rank):
    torch.save(packer.draw.getstate(), folder / f"data-{rank}.pt")
    if rank == 0:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state(), "tokens": done}, folder / "state.new")
        (folder / "state.new").rename(folder / "state.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("/var/tmp/demo-train"))
    parser.add_argument("--tokens", type=float, default=24e6)
    parser.add_argument("--pause", type=float, default=float("inf"), help="tokens after which to stop before the end, on the same plan")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--port", type=int, default=29511)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    mp.spawn(worker, (args,), nprocs=args.processes)
