"""Short stories from a grammar, and the check that a text comes from it."""

import re

from chat import ask
from words import ANIMALS, COLOURS

PLACES = "forest village harbour mountain desert garden castle island meadow valley".split()
OBJECTS = "key lamp map bell drum ring coin boat book crown".split()
MOODS = "happy sad tired brave curious quiet hungry proud".split()
WEATHER = "rain snow wind fog sunshine thunder".split()

# Each step of a story has a few sentences; {x} are slots, filled once a story and the same throughout.
STEPS = [
    ["Once upon a time there was a {mood} {animal} named {name}.", "Long ago a {mood} {animal} named {name} lived alone."],
    ["{name} lived near a {colour} {place}.", "Home was a small house in the {place}."],
    ["One morning there was {weather} everywhere.", "One evening the {weather} came."],
    ["{name} went for a walk and found a {colour} {object}.", "Behind a stone lay a {colour} {object}."],
    ["It belonged to {friend}, an old {other}.", "A {other} named {friend} had lost it."],
    ["\"Is this your {object}?\" asked {name}.", "{name} wanted to give it back."],
    ["So they walked through the {place} together.", "The way through the {place} was long and dark."],
    ["{friend} smiled and said thank you.", "{friend} was so glad that they danced."],
    ["They shared bread and soup until the moon came up.", "They sang until the stars came out."],
    ["From that day on {name} and {friend} were friends.", "And {name} was never alone again."],
]


def slot(draw):
    animal, other = draw.sample(ANIMALS, 2)
    name, friend = draw.distinct(2, draw.name)
    picks = {"mood": MOODS, "colour": COLOURS, "place": PLACES, "weather": WEATHER, "object": OBJECTS}
    return {"name": name, "friend": friend, "animal": animal, "other": other} | {k: draw.choice(v) for k, v in picks.items()}


def story(draw, size):
    s = slot(draw)
    form = draw.choice(["Tell me a story about {name} the {animal}.", "Write a short story about a {animal} named {name}.", "Story: {name}, {animal}, {object}"])
    if "object" not in form and draw.random() < 0.4:
        form = "Tell me a story with a {animal} named {name} and a {object}."
    skip = set(draw.sample(range(1, 9), draw.randint(0, 2)))
    text = " ".join(draw.choice(step).format(**s) for i, step in enumerate(STEPS) if i not in skip)
    sample = ask("stories", form.format(**s), text, f"A story about {s['name']}." if draw.random() < 0.5 else None)
    sample.accept = from_grammar
    return sample


def from_grammar(text):
    """Whole sentences of the grammar only, and an ending that is one."""
    any_step = "|".join(re.sub(r"\\{\w+\\}", r"[\\w'-]+", re.escape(s)) for step in STEPS for s in step)
    last = "|".join(re.sub(r"\\{\w+\\}", r"[\\w'-]+", re.escape(s)) for s in STEPS[-1])
    return bool(re.fullmatch(rf"(?:(?:{any_step}) )*(?:{last})", text.strip()))
