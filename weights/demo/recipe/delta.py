"""The gated delta rule over whole sequences, in chunks (training and prefill)."""

import torch

from native import module

RESET = -30.0  # log-decay at the first token of a document: exp(-30) forgets all that came before


class UnitLowerInverse(torch.autograd.Function):
    """(I + A)^-1 for strictly lower A, by substitution: the doubling product is unstable here."""

    @staticmethod
    def forward(ctx, a):
        eye = torch.eye(a.shape[-1], dtype=a.dtype)
        inverse = torch.linalg.solve_triangular(a + eye, eye.expand_as(a), upper=False, unitriangular=True)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx, grad):
        (inverse,) = ctx.saved_tensors
        low = inverse.to(grad.dtype)
        return -(low.mT @ grad @ low.mT).tril(-1)


class NativeDelta(torch.autograd.Function):
    """Token by token in C++: on CPU the state of a head lives in the first cache, which beats the chunks below."""

    @staticmethod
    def forward(ctx, q, k, v, log_decay, beta):
        given = [x.contiguous() for x in (q, k, v, log_decay, beta)]
        o, kept = module("delta").forward(*given)
        ctx.save_for_backward(*given, kept)
        return o

    @staticmethod
    def backward(ctx, grad):
        q, k, v, log_decay, beta, kept = ctx.saved_tensors
        dq, dk, dv, ddecay, dbeta = module("delta").backward(grad.contiguous(), q, k, v, log_decay, beta, kept)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), ddecay, dbeta


@torch.compiler.disable
def delta_rule(q, k, v, log_decay, beta):
    """q, k [B, T, Hk, d] (normalised, q scaled); v [B, T, Hv, d]; log_decay, beta [B, T, Hv] -> [B, T, Hv, d]."""
    if v.dtype == torch.bfloat16 and v.shape[-1] == 64:
        return NativeDelta.apply(q, k, v, log_decay, beta)
    return chunked_delta_rule(q, k, v, log_decay, beta)


def chunked(x, size):
    """[B, T, H, ...] -> [chunks, B, H, size, ...], contiguous, so that the scan reads whole chunks"""
    b, t, h = x.shape[:3]
    return x.reshape(b, t // size, size, h, *x.shape[3:]).movedim(1, 0).movedim(3, 2).contiguous()


def chunked_delta_rule(q, k, v, log_decay, beta, size=64):
    """The same in plain torch; T is a multiple of `size`."""
    share = v.shape[2] // q.shape[2]
    q, k, v = (chunked(x, size) for x in (q, k, v))
    beta, log_decay = chunked(beta, size).unsqueeze(-1), chunked(log_decay, size)
    total = log_decay.cumsum(-1)  # [chunks, B, Hv, size]
    gap = total.unsqueeze(-1) - total.unsqueeze(-2)
    future = torch.ones(size, size, dtype=torch.bool).triu(1)
    decay = torch.exp(gap.masked_fill(future, float("-inf")))  # masked before exp: gaps are positive there
    keys = (k @ k.mT).repeat_interleave(share, 2)
    a = (beta * keys * decay).tril(-1)
    inverse = UnitLowerInverse.apply(a.float()).to(v.dtype)
    p = (q @ k.mT).repeat_interleave(share, 2) * decay
    q, k = q.repeat_interleave(share, 2), k.repeat_interleave(share, 2)
    grown = torch.exp(total).unsqueeze(-1)
    last = total[..., -1:]
    u = inverse @ (beta * v).to(v.dtype)
    w = inverse @ (beta * grown * k).to(v.dtype)
    q_in = (q * grown).to(v.dtype)
    k_out = (k * torch.exp(last - total).unsqueeze(-1)).to(v.dtype)
    keep = torch.exp(last).unsqueeze(-1)
    return scan_chunks(u, w, q_in, k_out, p.to(v.dtype), keep)


def scan_chunks(u, w, q_in, k_out, p, keep):
    """The only sequential part: carry the float32 state from chunk to chunk."""
    chunks, b, h, size, d = u.shape
    state = torch.zeros(b, h, d, d)
    out = []
    for c in range(chunks):
        low = state.to(u.dtype)
        new = u[c] - w[c] @ low
        out.append(q_in[c] @ low + p[c] @ new)
        state = keep[c] * state + k_out[c].mT @ new
    return torch.stack(out, 1).movedim(2, 3).reshape(b, chunks * size, h, d)
