"""The demo model: gated delta rule, gated attention and sparse experts, with transformers' tensor names."""

import torch
from torch import nn
from torch.nn import functional as F

from conv import causal_conv
from delta import RESET, delta_rule
from moe import Moe, silu
from vision import Visual


class Norm(nn.Module):
    """Zero-centred RMS norm: the stored weight is the gain minus one."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], 1 + self.weight, 1e-6)


class GatedNorm(nn.Module):
    """RMS norm with a plain gain, then the SiLU gate."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x, z):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, 1e-6).to(z.dtype) * silu(z)


class Conv(nn.Module):
    """Depthwise causal convolution of four taps that does not look across a document's start."""

    def __init__(self, channels, taps):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1, taps) * taps**-0.5)


class DeltaNet(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c["hidden_size"]
        self.heads, self.v_heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
        self.dim = c["linear_key_head_dim"]
        keys, values = self.heads * self.dim, self.v_heads * self.dim
        self.in_proj_qkv = nn.Linear(h, 2 * keys + values, bias=False)
        self.in_proj_z = nn.Linear(h, values, bias=False)
        self.in_proj_b = nn.Linear(h, self.v_heads, bias=False)
        self.in_proj_a = nn.Linear(h, self.v_heads, bias=False)
        self.conv1d = Conv(2 * keys + values, c["linear_conv_kernel_dim"])
        self.A_log = nn.Parameter(torch.linspace(1, 8, self.v_heads).log())
        step = torch.logspace(-3, -0.5, self.v_heads)
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.norm = GatedNorm(self.dim)
        self.out_proj = nn.Linear(values, h, bias=False)

    def forward(self, x, seq):
        b, t, _ = x.shape
        mixed = causal_conv(self.in_proj_qkv(x), self.conv1d.weight, seq["place"])
        keys = self.heads * self.dim
        q, k, v = mixed.split([keys, keys, self.v_heads * self.dim], -1)
        q, k = (unit(y.view(b, t, self.heads, self.dim)) for y in (q, k))
        beta = torch.sigmoid(self.in_proj_b(x).float())
        decay = -self.A_log.exp() * F.softplus(self.in_proj_a(x).float() + self.dt_bias)
        decay = torch.where(seq["place"].unsqueeze(-1) == 0, RESET, decay)
        o = delta_rule(q * self.dim**-0.5, k, v.view(b, t, self.v_heads, self.dim), decay, beta)
        z = self.in_proj_z(x).view(b, t, self.v_heads, self.dim)
        return self.out_proj(self.norm(o, z).reshape(b, t, -1))


def unit(x):
    return (x * torch.rsqrt((x.float() ** 2).sum(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, self.dim = c["hidden_size"], c["head_dim"]
        self.heads, self.kv = c["num_attention_heads"], c["num_key_value_heads"]
        self.q_proj = nn.Linear(h, 2 * self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(h, self.kv * self.dim, bias=False)
        self.v_proj = nn.Linear(h, self.kv * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, h, bias=False)
        self.q_norm, self.k_norm = Norm(self.dim), Norm(self.dim)

    def forward(self, x, seq):
        b, t, _ = x.shape
        q, gate = self.q_proj(x).view(b, t, self.heads, 2 * self.dim).chunk(2, -1)  # per head: query, then gate
        k = self.k_proj(x).view(b, t, self.kv, self.dim)
        v = self.v_proj(x).view(b, t, self.kv, self.dim)
        q, k = (rotate(norm(y), *seq["rope"]).to(v.dtype) for norm, y in ((self.q_norm, q), (self.k_norm, k)))
        o = attend(q, k, v, seq["lengths"]) * torch.sigmoid(gate)
        return self.o_proj(o.reshape(b, t, -1))


@torch.compiler.disable
def attend(q, k, v, lengths):
    """Causal attention inside each document of the packed rows; most documents are far shorter than a row."""
    share = q.shape[2] // k.shape[2]
    whole = [y.flatten(0, 1) for y in (q, k.repeat_interleave(share, 2), v.repeat_interleave(share, 2))]
    parts = zip(*(y.transpose(0, 1).split(lengths, 1) for y in whole))
    out = [F.scaled_dot_product_attention(*(y[None] for y in one), is_causal=True)[0] for one in parts]
    return torch.cat(out, 1).transpose(0, 1).view(q.shape)


def rotate(x, cos, sin):
    """Rotate-half on the first dimensions, the rest passes through."""
    n = cos.shape[-1]
    head, rest = x[..., :n], x[..., n:]
    low, high = head.chunk(2, -1)
    return torch.cat([head * cos + torch.cat([-high, low], -1) * sin, rest], -1)


def rope_tables(positions, rope, dim):
    """positions [3, B, T] -> cos, sin [B, T, 1, rotary]; frequency j reads axis T, H or W in turn."""
    half = int(dim * rope["partial_rotary_factor"]) // 2
    j = torch.arange(half)
    inverse = rope["rope_theta"] ** (-j.float() / half)
    axis = torch.zeros(half, dtype=torch.long)
    for a in (1, 2):
        axis[(j % 3 == a) & (j < 3 * rope["mrope_section"][a])] = a
    angle = positions.float()[axis].movedim(0, -1) * inverse  # [B, T, half]
    angle = torch.cat([angle, angle], -1).unsqueeze(2)
    return angle.cos(), angle.sin()


class Layer(nn.Module):
    def __init__(self, c, kind):
        super().__init__()
        self.kind = kind
        if kind == "full_attention":
            self.self_attn = Attention(c)
        else:
            self.linear_attn = DeltaNet(c)
        self.mlp = Moe(c)
        self.input_layernorm, self.post_attention_layernorm = Norm(c["hidden_size"]), Norm(c["hidden_size"])

    def forward(self, x, seq):
        mixer = self.self_attn if self.kind == "full_attention" else self.linear_attn
        x = x + mixer(self.input_layernorm(x), seq)
        return x + self.mlp(self.post_attention_layernorm(x), seq["learned"])


class Mtp(nn.Module):
    """Drafts the token after next from a position's final hidden state and the next token's embedding."""

    def __init__(self, c):
        super().__init__()
        h = c["hidden_size"]
        self.fc = nn.Linear(2 * h, h, bias=False)
        self.pre_fc_norm_embedding, self.pre_fc_norm_hidden, self.norm = Norm(h), Norm(h), Norm(h)
        self.layers = nn.ModuleList([Layer(c, "full_attention")])

    def forward(self, embedding, hidden, seq):
        x = torch.cat([self.pre_fc_norm_embedding(embedding), self.pre_fc_norm_hidden(hidden)], -1)
        return self.norm(self.layers[0](self.fc(x).float(), seq))


class Text(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList([Layer(c, kind) for kind in c["layer_types"]])
        self.norm = Norm(c["hidden_size"])


class Demo(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, text = config, config["text_config"]
        self.model = nn.ModuleDict({"language_model": Text(text), "visual": Visual(config["vision_config"])})
        self.lm_head = nn.Linear(text["hidden_size"], text["vocab_size"], bias=False)
        self.mtp = Mtp(text)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                seen = "visual" in name  # no norm follows the tower: it has to begin at the size of the words' embeddings
                nn.init.normal_(p, std=0.5 if "embed_tokens" in name else p.shape[1] ** -0.5 if seen else 0.02)

    def embed(self, ids, images=None):
        x = self.model["language_model"].embed_tokens(ids)
        if images is not None:
            seen = self.model["visual"](*images)
            x = x.masked_scatter((ids == self.config["image_token_id"]).unsqueeze(-1), seen.to(x.dtype))
        return x

    def sequence(self, place, positions, learned=None):
        """What the layers need to know of packed rows: places in the documents, their lengths, the rotations, what is learned."""
        text = self.config["text_config"]
        starts = (place.reshape(-1) == 0).nonzero().squeeze(1)
        lengths = torch.diff(starts, append=torch.tensor([place.numel()])).tolist()
        rope = rope_tables(positions, text["rope_parameters"], text["head_dim"])
        return {"place": place, "lengths": lengths, "rope": rope, "learned": learned}

    def forward(self, embedded, seq):
        """Returns the hidden states after the final norm: what lm_head and the MTP block read."""
        x = embedded
        for layer in self.model["language_model"].layers:
            x = layer(x, seq)
        return self.model["language_model"].norm(x)

    def balance(self):
        layers = self.model["language_model"].layers
        return sum(layer.mlp.balance for layer in layers) / len(layers)
