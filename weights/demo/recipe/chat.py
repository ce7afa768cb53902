"""Dialogues to tokens: the shipped chat template, and which tokens are learned."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

HOME = Path(__file__).resolve().parent.parent


@dataclass
class Sample:
    """A dialogue whose last message is the answer to learn; no `think` means thinking is switched off."""

    skill: str
    messages: list
    think: str | None = None
    tools: list | None = None
    images: list = field(default_factory=list)
    accept: object = None  # for evaluation: a function of the answer, where one exact text would be unfair

    def __post_init__(self):
        if self.think is not None:
            self.messages[-1]["reasoning_content"] = self.think


def ask(skill, question, answer, think=None, system=None, history=(), images=()):
    """The common case: one question, one answer."""
    start = [{"role": "system", "content": system}] if system else []
    talk = [{"role": role, "content": text} for pair in history for role, text in zip(("user", "assistant"), pair)]
    end = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Sample(skill, start + talk + end, think, images=list(images))


def raise_exception(message):
    raise jinja2.TemplateError(message)


@cache
def template():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
    env.globals["raise_exception"] = raise_exception
    return env.from_string((HOME / "chat_template.jinja").read_text())


@cache
def tokenizer():
    return Tokenizer.from_file(str(HOME / "tokenizer.json"))


@cache
def token(text):
    return tokenizer().token_to_id(text)


def render(messages, tools=None, **options):
    return template().render(messages=messages, tools=tools, **options)


def encode(sample):
    """(ids, weights): the whole dialogue; a weight above 0 marks what the assistant itself has to write."""
    ids = with_images(render(sample.messages, sample.tools), sample.images)
    mask = learned(ids)
    weight = (16 / max(1, sum(mask))) ** 0.5  # a short answer counts more for each token, a long one less
    return ids, [weight * m for m in mask]


def prompt_ids(sample):
    """What a server would feed the model before the last message."""
    on = sample.think is not None
    text = render(sample.messages[:-1], sample.tools, add_generation_prompt=True, enable_thinking=on)
    return with_images(text, sample.images)


def with_images(text, images):
    """Tokens, with one placeholder for each four patches of a picture."""
    for grid in (image.grid for image in images):
        text = text.replace("<|image_pad|>", "<|image_hold|>" * (grid[0] * grid[1] // 4), 1)
    return tokenizer().encode(text.replace("<|image_hold|>", "<|image_pad|>"), add_special_tokens=False).ids


@cache
def header():
    start = tokenizer().encode("<|im_start|>assistant\n").ids
    return start, tokenizer().encode("<think>\n").ids, tokenizer().encode("<think>\n\n</think>\n\n").ids


def learned(ids):
    """Assistant turns including <|im_end|>, without the part that the generation prompt already gives."""
    start, opened, empty = header()
    mask, i = [False] * len(ids), 0
    while i < len(ids):
        if ids[i : i + len(start)] != start:
            i += 1
            continue
        i += len(start)
        for given in (empty, opened):
            if ids[i : i + len(given)] == given:
                i += len(given)
                break
        while i < len(ids):
            mask[i] = True
            i += 1
            if ids[i - 1] == token("<|im_end|>"):
                break
    return mask
