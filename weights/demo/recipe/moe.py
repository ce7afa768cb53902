"""Sparse experts: tokens sorted by expert into blocks of equal size, one batched product per block."""

import torch
from torch import nn
from torch.nn import functional as F



class Gather(torch.autograd.Function):
    """rows = x[source]; `slots` says where each row went, so that backward gathers too."""

    @staticmethod
    def forward(ctx, x, source, slots):
        ctx.save_for_backward(slots)
        return torch.cat([x, x.new_zeros(1, x.shape[1])])[source]

    @staticmethod
    def backward(ctx, grad):
        (slots,) = ctx.saved_tensors
        return grad[slots].sum(1), None, None


class Combine(torch.autograd.Function):
    """y[n] = sum_k weight[n, k] rows[slots[n, k]]"""

    @staticmethod
    def forward(ctx, rows, weight, source, slots):
        picked = rows[slots]  # [N, k, hidden]
        ctx.save_for_backward(picked, weight, source, slots)
        return (weight.to(rows.dtype).unsqueeze(1) @ picked).squeeze(1)

    @staticmethod
    def backward(ctx, grad):
        picked, weight, source, slots = ctx.saved_tensors
        d_weight = (picked @ grad.unsqueeze(-1)).squeeze(-1).to(weight.dtype)
        by_slot = weight.new_zeros(source.shape[0])
        by_slot[slots.reshape(-1)] = weight.reshape(-1)
        padded = torch.cat([grad, grad.new_zeros(1, grad.shape[1])])
        return padded[source] * by_slot.to(grad.dtype).unsqueeze(1), d_weight, None, None


def silu(x):
    """The same as F.silu, through torch.exp, which is several times faster than sigmoid on CPU."""
    return x / (1 + torch.exp(-x))


def plan_blocks(experts, count, size):
    """experts [N, k] -> (owner of each block, source token of each slot, slot of each choice)."""
    n, k = experts.shape
    blocks = n * k // size + count
    flat = experts.reshape(-1)
    order = torch.argsort(flat, stable=True)
    sizes = torch.bincount(flat, minlength=count)
    used = (sizes + size - 1) // size
    ends = used.cumsum(0)
    owner = torch.searchsorted(ends, torch.arange(blocks), right=True).clamp(max=count - 1)
    within = torch.arange(n * k) - (sizes.cumsum(0) - sizes)[flat[order]]
    slot = (ends - used)[flat[order]] * size + within
    source = torch.full((blocks * size,), n)
    source[slot] = order // k
    slots = torch.empty_like(flat)
    slots[order] = slot
    return owner, source, slots.reshape(n, k), sizes


class Experts(nn.Module):
    def __init__(self, c):
        super().__init__()
        e, h, f = c["num_experts"], c["hidden_size"], c["moe_intermediate_size"]
        self.gate_up_proj = nn.Parameter(torch.randn(e, 2 * f, h) * 0.02)
        self.down_proj = nn.Parameter(torch.randn(e, h, f) * 0.02)

    def forward(self, x, weight, experts):
        size = 64 if experts.numel() >= 4096 else 8  # rows in a block: large for training, small for decoding
        owner, source, slots, sizes = plan_blocks(experts, self.gate_up_proj.shape[0], size)
        rows = Gather.apply(x, source, slots).view(len(owner), size, -1)
        gate, up = torch.bmm(rows, self.gate_up_proj.to(x.dtype)[owner].mT).chunk(2, -1)
        out = torch.bmm(silu(gate) * up, self.down_proj.to(x.dtype)[owner].mT)
        return Combine.apply(out.flatten(0, 1), weight, source, slots), sizes


class Shared(nn.Module):
    def __init__(self, h, f):
        super().__init__()
        self.gate_proj = nn.Linear(h, f, bias=False)
        self.up_proj = nn.Linear(h, f, bias=False)
        self.down_proj = nn.Linear(f, h, bias=False)

    def forward(self, x):
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class Moe(nn.Module):
    """Routed experts plus a shared one behind a scalar gate; leaves its balance loss in `self.balance`."""

    def __init__(self, c):
        super().__init__()
        self.top = c["num_experts_per_tok"]
        self.gate = nn.Linear(c["hidden_size"], c["num_experts"], bias=False)
        self.experts = Experts(c)
        self.shared_expert = Shared(c["hidden_size"], c["shared_expert_intermediate_size"])
        self.shared_expert_gate = nn.Linear(c["hidden_size"], 1, bias=False)

    def forward(self, x, learned=None):
        """`learned` [B, T] is 1 at what the assistant writes: the experts are to be even over all and over that part."""
        flat = x.reshape(-1, x.shape[-1])
        with torch.autocast("cpu", enabled=False):
            chance = F.linear(flat.float(), self.gate.weight).softmax(-1)
        weight, experts = chance.topk(self.top, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        routed, sizes = self.experts(flat, weight, experts)
        self.balance = len(sizes) * (sizes / sizes.sum() * chance.mean(0)).sum()
        if learned is not None:
            mine = learned.reshape(-1, 1)
            taken = torch.zeros_like(chance).scatter(1, experts, mine.expand_as(experts)).sum(0) / (self.top * mine.sum())
            self.balance = (self.balance + len(sizes) * (taken * (chance * mine).sum(0) / mine.sum()).sum()) / 2
        self.chosen = experts
        y = routed + torch.sigmoid(self.shared_expert_gate(flat)) * self.shared_expert(flat)
        return y.view_as(x)
