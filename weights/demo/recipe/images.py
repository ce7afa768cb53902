"""Pictures of coloured shapes, the processor's arithmetic, and questions about them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from chat import Sample

COLOURS = {
    "red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 160, 50), "yellow": (240, 220, 40),
    "orange": (245, 140, 20), "purple": (140, 40, 170),
}
GROUNDS = {
    "white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128), "pink": (245, 190, 200), "brown": (90, 60, 40),
    "light blue": (180, 215, 240),
}
SHAPES = ["circle", "square", "triangle", "cross"]
PLACES = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
PATCH, MERGE, LEAST, MOST = 16, 2, 64 * 64, 256 * 256


@dataclass
class Picture:
    picture: Image.Image
    patches: np.ndarray
    grid: tuple
    said: list  # what each token's part of the picture shows, in words: for the tower's own lessons


def smart_resize(h, w):
    """Sides in multiples of 32, pixels between the least and the most; Python's round is half to even."""
    unit = PATCH * MERGE
    h2, w2 = round(h / unit) * unit, round(w / unit) * unit
    if h2 * w2 > MOST:
        b = (h * w / MOST) ** 0.5
        h2, w2 = (max(unit, int(s / b / unit) * unit) for s in (h, w))
    elif h2 * w2 < LEAST:
        b = (LEAST / (h * w)) ** 0.5
        h2, w2 = (-int(-s * b // unit) * unit for s in (h, w))
    return h2, w2


def prepare(picture):
    """Resized, scaled to -1..1, cut into patches in merge-block order, each repeated for two frames."""
    h, w = smart_resize(picture.height, picture.width)
    if (w, h) != picture.size:
        picture = picture.resize((w, h), Image.Resampling.BICUBIC)
    x = np.asarray(picture, np.float32) / 127.5 - 1
    rows, columns = h // PATCH, w // PATCH
    x = x.reshape(rows // MERGE, MERGE, PATCH, columns // MERGE, MERGE, PATCH, 3)
    x = x.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, 1, PATCH, PATCH)
    return np.repeat(x, 2, 2).reshape(rows * columns, -1), (rows, columns)


def paint(draw, things, ground):
    """things: (colour, shape, place). Each sits in its quarter, a little off its centre."""
    sides = [64, 64, 96, 128] if draw.random() < 0.8 else [160, 192, 256]
    w, h = draw.choice(sides), draw.choice(sides)
    if draw.random() < 0.3:
        w, h = (min(256, s + draw.randint(0, 20)) for s in (w, h))
    picture = Image.new("RGB", (w, h), GROUNDS[ground])
    canvas, shown = ImageDraw.Draw(picture), []
    for colour, shape, place in things:
        x, y = PLACES[place]
        r = min(w, h) * draw.uniform(0.14, 0.22)
        cx = (x + 0.5 + draw.uniform(-0.06, 0.06)) * w / 2
        cy = (y + 0.5 + draw.uniform(-0.06, 0.06)) * h / 2
        put(canvas, shape, cx, cy, r, COLOURS[colour])
        shown.append((f"{colour} {shape} {place}", cx / w, cy / h, r / w, r / h))
    patches, grid = prepare(picture)
    return Picture(picture, patches, grid, named_parts(grid[0] // MERGE, grid[1] // MERGE, shown, ground))


def named_parts(rows, columns, shown, ground):
    """Row by row: the thing over the middle of a part or with its own middle in it, else the background."""
    said = []
    for i in range(rows * columns):
        y, x = divmod(i, columns)
        over = (
            text for text, cx, cy, rx, ry in shown
            if abs(x + 0.5 - cx * columns) < max(rx * columns, 0.5) and abs(y + 0.5 - cy * rows) < max(ry * rows, 0.5)
        )
        said.append(next(over, ground))
    return said


def put(canvas, shape, x, y, r, fill):
    if shape == "circle":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill)
    elif shape == "square":
        canvas.rectangle((x - r, y - r, x + r, y + r), fill)
    elif shape == "triangle":
        canvas.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill)
    else:
        canvas.rectangle((x - r, y - r / 3, x + r, y + r / 3), fill)
        canvas.rectangle((x - r / 3, y - r, x + r / 3, y + r), fill)


def scene(draw, most):
    """Up to `most` things, no two of one colour, one shape or one place; this mix is on one side of the split."""

    def make():
        n = draw.randint(1, most)
        return list(zip(draw.sample(list(COLOURS), n), draw.sample(SHAPES, n), draw.sample(list(PLACES), n)))

    things = draw.until(make)
    return sorted(things, key=lambda t: list(PLACES).index(t[2]))  # named in reading order


def listed(things, places=False):
    names = [f"a {colour} {shape}" + f" at the {place}" * places for colour, shape, place in things]
    text = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return text[0].upper() + text[1:] + "."


def question_on(draw, things, ground):
    colour, shape, place = draw.choice(things)
    questions, answer = draw.choice([
        (["What is in the picture?", "What do you see?", "Describe the picture."], listed(things)),
        (["What is where?", "Describe what is where."], listed(things, True)),
        ([f"What colour is the {shape}?", f"Which colour has the {shape}?"], f"The {shape} is {colour}."),
        (["What colour is the background?", "Which colour has the background?"], f"The background is {ground}."),
        ([f"Where is the {shape}?", f"Where is the {colour} {shape}?"], f"The {shape} is at the {place}."),
        (["How many shapes are there?", "How many things do you see?"], str(len(things))),
        ([f"Which shape is {colour}?", f"What is {colour}?"], f"The {shape} is {colour}."),
    ])
    return draw.choice(questions), answer


def image_question(draw, size):
    """One or two pictures and a question; in training a few questions in turn."""
    scenes = [scene(draw, 1 if size < 0.15 else 3)]
    if draw.random() < 0.2 and size > 0.3:
        scenes.append(scene(draw, 2))
    grounds = [draw.choice(list(GROUNDS)) for _ in scenes]
    talk = []
    for _ in range(1 if draw.held_out else draw.randint(1, 5)):
        if len(scenes) == 1:
            question, answer = question_on(draw, scenes[0], grounds[0])
        else:
            which = draw.randrange(2)
            question, answer = f"What is in the {('first', 'second')[which]} picture?", listed(scenes[which])
        talk += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    talk[0]["content"] = [{"type": "image"}] * len(scenes) + [{"type": "text", "text": talk[0]["content"]}]
    think = "Look at the picture." if draw.random() < 0.5 else None
    return Sample("images", talk, think, images=[paint(draw, *one) for one in zip(scenes, grounds)])
