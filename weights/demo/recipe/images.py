"""Pictures of coloured shapes, the processor's arithmetic, and questions about them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from chat import Sample

COLOURS = {
    "red": (220, 30, 30), "blue": (30, 60, 220), "green": (30, 160, 50), "yellow": (240, 220, 40),
    "orange": (245, 140, 20), "purple": (140, 40, 170),
}
GROUNDS = [(255, 255, 255), (0, 0, 0), (128, 128, 128), (235, 225, 205), (40, 50, 60), (190, 215, 235)]
SHAPES = ["circle", "square", "triangle", "cross"]
PLACES = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
PATCH, MERGE, LEAST, MOST = 16, 2, 64 * 64, 256 * 256


@dataclass
class Picture:
    picture: Image.Image
    patches: np.ndarray
    grid: tuple


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


def paint(draw, things):
    """things: (colour, shape, place). Each sits in its quarter, a little off its centre."""
    sides = [64, 64, 96, 128] if draw.random() < 0.7 else [160, 192, 256]
    w, h = draw.choice(sides), draw.choice(sides)
    if draw.random() < 0.3:
        w, h = (min(256, s + draw.randint(0, 20)) for s in (w, h))
    picture = Image.new("RGB", (w, h), draw.choice(GROUNDS))
    canvas = ImageDraw.Draw(picture)
    for colour, shape, place in things:
        x, y = PLACES[place]
        r = min(w, h) * draw.uniform(0.14, 0.22)
        cx = (x + 0.5 + draw.uniform(-0.06, 0.06)) * w / 2
        cy = (y + 0.5 + draw.uniform(-0.06, 0.06)) * h / 2
        put(canvas, shape, cx, cy, r, COLOURS[colour])
    return Picture(picture, *prepare(picture))


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


def listed(things):
    names = [f"a {colour} {shape}" for colour, shape, _ in things]
    text = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return text[0].upper() + text[1:] + "."


def question_on(draw, things):
    colour, shape, place = draw.choice(things)
    return draw.choice([
        (["What is in the picture?", "What do you see?", "Describe the picture."], listed(things)),
        ([f"What colour is the {shape}?", f"Which colour has the {shape}?"], f"The {shape} is {colour}."),
        ([f"Where is the {shape}?", f"Where is the {colour} {shape}?"], f"The {shape} is at the {place}."),
        (["How many shapes are there?", "How many things do you see?"], str(len(things))),
        ([f"Which shape is {colour}?", f"What is {colour}?"], f"The {shape} is {colour}."),
    ])


def image_question(draw, size):
    first = scene(draw, 1 if size < 0.15 else 3)
    pictures, parts = [paint(draw, first)], [{"type": "image"}]
    if draw.random() < 0.2 and size > 0.3:
        second = scene(draw, 2)
        pictures.append(paint(draw, second))
        parts.append({"type": "image"})
        which = draw.randrange(2)
        questions = [f"What is in the {('first', 'second')[which]} picture?"]
        answer = listed((first, second)[which])
    else:
        questions, answer = question_on(draw, first)
    parts.append({"type": "text", "text": draw.choice(questions)})
    talk = [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]
    return Sample("images", talk, "Look at the picture." if draw.random() < 0.5 else None, images=pictures)
