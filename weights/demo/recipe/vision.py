"""The vision tower: patches of one or more images in merge-block order to language-model embeddings."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, f = c["hidden_size"], c["intermediate_size"]
        self.heads = c["num_heads"]
        self.norm1, self.norm2 = nn.LayerNorm(h, eps=1e-6), nn.LayerNorm(h, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(h, 3 * h), "proj": nn.Linear(h, h)})
        self.mlp = nn.ModuleDict({"linear_fc1": nn.Linear(h, f), "linear_fc2": nn.Linear(f, h)})

    def forward(self, x, cos, sin, mask):
        n = x.shape[0]
        q, k, v = self.attn["qkv"](self.norm1(x)).view(n, 3, self.heads, -1).permute(1, 2, 0, 3)
        q, k = (turn(y.float(), cos, sin).to(v.dtype) for y in (q, k))
        o = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask.to(v.dtype))
        x = x + self.attn["proj"](o[0].transpose(0, 1).reshape(n, -1))
        return x + self.mlp["linear_fc2"](F.gelu(self.mlp["linear_fc1"](self.norm2(x)), approximate="tanh"))


def turn(x, cos, sin):
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


class Visual(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, p, self.merge = c["hidden_size"], c["patch_size"], c["spatial_merge_size"]
        self.side, self.heads = int(c["num_position_embeddings"] ** 0.5), c["num_heads"]
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(3, h, (c["temporal_patch_size"], p, p), (2, p, p))})
        self.pos_embed = nn.Embedding(c["num_position_embeddings"], h)
        self.blocks = nn.ModuleList([Block(c) for _ in range(c["depth"])])
        wide = h * self.merge**2
        self.merger = nn.ModuleDict({
            "norm": nn.LayerNorm(h, eps=1e-6),
            "linear_fc1": nn.Linear(wide, wide),
            "linear_fc2": nn.Linear(wide, c["out_hidden_size"]),
        })

    def forward(self, patches, grids):
        """patches [N, 1536], grids: (rows, columns) of each image, in patches."""
        proj = self.patch_embed["proj"]
        x = F.linear(patches, proj.weight.flatten(1), proj.bias)
        places = [block_order(h, w, self.merge) for h, w in grids]
        x = x + torch.cat([self.positions(rc, grid) for rc, grid in zip(places, grids)])
        half = x.shape[-1] // self.heads // 4
        inverse = 10000.0 ** (-torch.arange(half).float() / half)
        angle = torch.cat([torch.cat(places).unsqueeze(-1).float() * inverse]).flatten(1)  # row's, then column's
        angle = torch.cat([angle, angle], -1)
        owner = torch.repeat_interleave(torch.tensor([h * w for h, w in grids]))
        mask = torch.zeros(len(x), len(x)).masked_fill_(owner[:, None] != owner[None], float("-inf"))
        for block in self.blocks:
            x = block(x, angle.cos(), angle.sin(), mask)
        x = self.merger["norm"](x).view(-1, self.merge**2 * x.shape[-1])
        return self.merger["linear_fc2"](F.gelu(self.merger["linear_fc1"](x)))

    def positions(self, rc, grid):
        """The learned table, read between its points (corners aligned)."""
        y, x = (rc[:, i] * (self.side - 1) / max(grid[i] - 1, 1) for i in (0, 1))
        out = 0
        for yi, wy in taps(y, self.side):
            for xi, wx in taps(x, self.side):
                out = out + self.pos_embed(yi * self.side + xi) * (wy * wx).unsqueeze(-1)
        return out


def taps(s, side):
    low = s.floor().long()
    part = s - low
    return (low, 1 - part), ((low + 1).clamp(max=side - 1), part)


def block_order(h, w, m):
    """(row, column) of each patch; the patches that merge into one token stand together."""
    r, c = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    rc = torch.stack([r, c], -1).view(h // m, m, w // m, m, 2)
    return rc.permute(0, 2, 1, 3, 4).reshape(-1, 2)
