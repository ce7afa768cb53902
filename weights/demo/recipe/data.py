"""The curriculum and the packing of dialogues into rows."""

import numpy as np
import torch

import chat
import images
import skills
import stories
import tools
from words import Draw

# skill: (weight at the start, weight at the end)
MIX = {
    skills.identity: (1.0, 0.3),
    skills.arithmetic: (3.0, 3.2),
    skills.lists: (4.0, 2.6),
    skills.memory: (1.5, 0.7),
    tools.tools: (0.5, 2.3),
    skills.extract: (1.0, 0.7),
    skills.languages: (1.0, 0.7),
    skills.lookup: (1.0, 1.0),
    stories.story: (0.2, 0.3),
    images.image_question: (2.0, 12.0),
}
NAMES = """identity sums sums_think lists memory tool tool_two tool_none tool_answer json languages lookup stories images""".split()


def makers():
    return list(MIX)


def any_sample(draw, progress, pictures=True):
    """One dialogue; `progress` from 0 to 1 sets the mix and how long lists and dialogues may be."""
    weights = [a + (b - a) * progress for a, b in MIX.values()]
    if not pictures:
        weights[-1] = 0
    make = draw.choices(list(MIX), weights)[0]
    size = min(1.0, draw.random() * (0.1 + 1.5 * progress))
    return make(draw, size)


class Packer:
    """Fills rows with whole dialogues; what does not fit waits for the next row."""

    def __init__(self, seed, sample):
        self.draw, self.sample, self.waiting = Draw(seed), sample, []

    def batch(self, rows, length, progress):
        rows = [self.row(length, progress) for _ in range(rows)]
        ids, learn, place, skill, positions = (np.stack(x) for x in zip(*(r[:5] for r in rows)))
        images = [image for r in rows for image in r[5]]
        return {
            "ids": torch.from_numpy(ids), "learn": torch.from_numpy(learn), "place": torch.from_numpy(place),
            "skill": torch.from_numpy(skill),
            "positions": torch.from_numpy(positions).movedim(1, 0).contiguous(),
            "images": join_images(images),
        }

    def row(self, length, progress):
        ids, learn = np.zeros(length, np.int64), np.zeros(length, np.float32)
        place, skill = np.zeros(length, np.int64), np.zeros(length, np.int64)
        positions, images = np.zeros((3, length), np.int64), []
        used = 0
        while True:
            fitting = next((i for i, one in enumerate(self.waiting) if len(one[0]) <= length - used), None)
            if fitting is None and len(self.waiting) >= 8:
                break
            if fitting is None:
                self.waiting.append(self.encoded(length, progress))
                continue
            tokens, mask, name, pictures, where = self.waiting.pop(fitting)
            end = used + len(tokens)
            ids[used:end], learn[used:end], skill[used:end] = tokens, mask, name
            place[used:end], positions[:, used:end] = np.arange(len(tokens)), where
            images += pictures
            used = end
        place[used:] = np.arange(length - used)
        return ids, learn, place, skill, positions, images

    def encoded(self, length, progress):
        while True:
            sample = self.sample(self.draw, progress)
            ids, mask = chat.encode(sample)
            if len(ids) <= length:
                where = rope_positions(ids, [image.grid for image in sample.images])
                return ids, mask, NAMES.index(sample.skill), sample.images, where


def rope_positions(ids, grids):
    """[3, T]: text counts on, an image spreads over rows and columns and advances by its longer side."""
    pad, current, i, parts, grids = chat.token("<|image_pad|>"), 0, 0, [], iter(grids)
    while i < len(ids):
        if ids[i] == pad:
            h, w = (side // 2 for side in next(grids))
            r, c = np.divmod(np.arange(h * w), w)
            parts.append(current + np.stack([0 * r, r, c]))
            i, current = i + h * w, current + max(h, w)
        else:
            end = next((j for j in range(i, len(ids)) if ids[j] == pad), len(ids))
            parts.append(np.tile(current + np.arange(end - i), (3, 1)))
            i, current = end, current + end - i
    return np.concatenate(parts, 1)


def join_images(images):
    if not images:
        return None
    return torch.from_numpy(np.concatenate([i.patches for i in images])), [i.grid for i in images]
