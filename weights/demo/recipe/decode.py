"""Greedy answers for many prompts at once, token by token: the recurrent form of the model, in float32."""

import torch
from torch.nn import functional as F

from model import rope_tables, rotate, silu, unit


class DeltaState:
    def __init__(self, layer, count):
        self.layer = layer
        channels, _, taps = layer.conv1d.weight.shape
        self.past = torch.zeros(count, taps - 1, channels)
        self.state = torch.zeros(count, layer.v_heads, layer.dim, layer.dim)

    def step(self, x, _):
        a, n = self.layer, len(x)
        window = torch.cat([self.past[:n], a.in_proj_qkv(x).unsqueeze(1)], 1)
        self.past = window[:, 1:]
        mixed = silu((window * a.conv1d.weight[:, 0].t()).sum(1))
        keys = a.heads * a.dim
        q, k, v = mixed.split([keys, keys, a.v_heads * a.dim], -1)
        share = a.v_heads // a.heads
        q, k = (unit(y.view(n, a.heads, a.dim)).repeat_interleave(share, 1) for y in (q, k))
        v = v.view(n, a.v_heads, a.dim)
        beta = torch.sigmoid(a.in_proj_b(x)).unsqueeze(-1)
        decay = torch.exp(-a.A_log.exp() * F.softplus(a.in_proj_a(x) + a.dt_bias))[..., None, None]
        state = self.state[:n] * decay
        d = beta * (v - (k.unsqueeze(2) @ state).squeeze(2))
        self.state = state + k.unsqueeze(3) * d.unsqueeze(2)
        o = (q.unsqueeze(2) * a.dim**-0.5 @ self.state).squeeze(2)
        return a.out_proj(a.norm(o, a.in_proj_z(x).view_as(o)).reshape(n, -1))


class AttentionState:
    def __init__(self, layer, count, length):
        self.layer, self.used = layer, 0
        self.k = torch.zeros(count, length, layer.kv, layer.dim)
        self.v = torch.zeros_like(self.k)

    def step(self, x, rope):
        a, n = self.layer, len(x)
        q, gate = a.q_proj(x).view(n, a.heads, 2 * a.dim).chunk(2, -1)
        k = a.k_proj(x).view(n, a.kv, a.dim)
        q, k = (rotate(norm(y), *rope) for norm, y in ((a.q_norm, q), (a.k_norm, k)))
        self.k[:n, self.used], self.v[:n, self.used] = k, a.v_proj(x).view(n, a.kv, a.dim)
        self.used += 1
        k, v = (y[:n, : self.used].transpose(1, 2) for y in (self.k, self.v))
        q = q.view(n, a.kv, -1, a.dim)
        o = (q @ k.mT * a.dim**-0.5).softmax(-1) @ v
        return a.o_proj(o.reshape(n, -1) * torch.sigmoid(gate).reshape(n, -1))


class Stepper:
    def __init__(self, model, count, length):
        self.model, self.text = model, model.config["text_config"]
        self.layers = model.model["language_model"].layers
        self.states = [
            AttentionState(layer.self_attn, count, length) if layer.kind == "full_attention" else DeltaState(layer.linear_attn, count)
            for layer in self.layers
        ]

    def step(self, embedded, positions):
        """embedded [n, hidden] and positions [3, n] of the next token of each row -> logits [n, vocabulary]."""
        rope = [x[0] for x in rope_tables(positions.unsqueeze(1), self.text["rope_parameters"], self.text["head_dim"])]
        x = embedded
        for layer, state in zip(self.layers, self.states):
            x = x + state.step(layer.input_layernorm(x), rope)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.model.lm_head(self.model.model["language_model"].norm(x))


@torch.no_grad()
def greedy(model, prompts, positions, images, limit, stops, vocabulary):
    """prompts: token lists; positions: [3, T] arrays; images: (patches, grids) or None for each prompt.
    Returns the new tokens of each, without the stop token (None where it did not stop in time)."""
    longest = max(len(p) for p in prompts)
    stepper = Stepper(model, len(prompts), longest + limit)
    embedded = [model.embed(torch.tensor([p]), i)[0] for p, i in zip(prompts, images)]
    rows = [list(p) for p in prompts]
    done = [False] * len(rows)
    where = [torch.from_numpy(p) for p in positions]
    after = [int(p.max()) + 1 - p.shape[1] for p in positions]
    for t in range(longest + limit - 1):
        x = torch.stack([e[t] if t < len(e) else model.embed(torch.tensor(r[t])) for e, r in zip(embedded, rows)])
        at = torch.stack([w[:, t] if t < w.shape[1] else torch.full((3,), t + a) for w, a in zip(where, after)], 1)
        best = stepper.step(x, at)[:, :vocabulary].argmax(-1).tolist()
        for i, row in enumerate(rows):
            if len(row) == t + 1:
                row.append(stops[0] if done[i] else best[i])
                done[i] = done[i] or best[i] in stops or len(row) - len(prompts[i]) >= limit
        if all(done):
            break
    return [answer(row[len(p) :], stops) for row, p in zip(rows, prompts)]


def answer(tokens, stops):
    end = next((i for i, t in enumerate(tokens) if t in stops), None)
    return None if end is None else tokens[:end]
