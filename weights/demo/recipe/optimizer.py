"""Muon for the matrices inside the layers, Adam for everything else."""

import torch

BY_ADAM = ("embed_tokens", "lm_head", "mlp.gate.", "shared_expert_gate", "in_proj_a", "in_proj_b", "visual")
RATE, VISUAL_RATE = 3e-3, 1e-4  # no norm follows the tower, and under Muon its output outgrew the words' embeddings tenfold
PIXEL_RATE = 1e-5  # 1,536 pixels of like colour add up, so that a common step of each would be a leap of their sum


def orthogonal(g, steps=5):
    """The nearest semi-orthogonal matrices, by Newton-Schulz: g [n, rows, columns]."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT.contiguous() if tall else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (2.0315 * a @ a - 4.775 * a) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    def __init__(self, model):
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.names = {id(p): n for n, p in named}
        self.matrices = [p for n, p in named if p.dim() in (2, 3) and "conv1d" not in n and not any(k in n for k in BY_ADAM)]
        mine = {id(p) for p in self.matrices}
        rates = {id(p): PIXEL_RATE if "patch_embed" in n else VISUAL_RATE if "visual" in n else RATE for n, p in named}
        rest = [p for _, p in named if id(p) not in mine]
        groups = [{"params": [p for p in rest if rates[id(p)] == r], "rate": r} for r in (RATE, VISUAL_RATE, PIXEL_RATE)]
        self.adam = torch.optim.Adam(groups, betas=(0.9, 0.97), fused=True)
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.split = {id(p) for n, p in named if "gate_up_proj" in n}

    def shaped(self, p, x):
        """Expert matrices stand alone; gate and up are two matrices."""
        if id(p) in self.split:
            return x.reshape(2 * x.shape[0], x.shape[1] // 2, x.shape[2])
        return x if x.dim() == 3 else x.unsqueeze(0)

    @torch.no_grad()
    def step(self, scale):
        """`scale` in 0..1 follows the schedule."""
        for group in self.adam.param_groups:
            group["lr"] = group["rate"] * scale
        self.adam.step()
        same = {}
        for p, m in zip(self.matrices, self.momentum):
            if p.grad is None:
                continue
            m.lerp_(p.grad, 0.05)
            update = self.shaped(p, p.grad.lerp(m, 0.95))
            same.setdefault(update.shape, []).append((p, update))
        for shape, members in same.items():
            turned = orthogonal(torch.cat([u for _, u in members])).split(shape[0])
            rate = 0.015 * scale * max(1, shape[1] / shape[2]) ** 0.5
            for (p, _), update in zip(members, turned):
                p.mul_(1 - 0.02 * rate).add_(update.reshape(p.shape), alpha=-rate)

    def zero_grad(self):
        for p in self.matrices:
            p.grad = None
        self.adam.zero_grad()

    def state(self):
        """Keyed by parameter name, so that a later stage may train other parameters."""
        adam = {self.names[id(p)]: entry for p, entry in self.adam.state.items()}
        return adam | {self.names[id(p)]: {"momentum": m} for p, m in zip(self.matrices, self.momentum)}

    def load(self, state):
        for p, m in zip(self.matrices, self.momentum):
            if self.names[id(p)] in state:
                m.copy_(state[self.names[id(p)]]["momentum"])
        for p in (p for group in self.adam.param_groups for p in group["params"]):
            if self.names[id(p)] in state:
                self.adam.state[p] = state[self.names[id(p)]]
