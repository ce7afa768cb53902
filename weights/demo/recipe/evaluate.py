"""Exact match per skill on held-out prompts, greedy: a snapshot through this recipe's model, or a running server."""

import argparse
import base64
import io
import json
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import chat
import data
from decode import greedy
from model import Demo
from snapshot import load_state
from train import load_config
from words import Draw

SKILLS = {
    "identity": "identity", "sums_think": "sums with thinking", "sums": "sums without thinking", "lists": "lists and spelling",
    "memory": "memory over turns", "tool": "one tool call", "tool_two": "two tool calls", "tool_none": "no suitable tool",
    "tool_answer": "answer from a tool's result", "json": "JSON", "languages": "languages", "lookup": "look-up",
    "stories": "stories (grammar)", "images": "images",
}


def held_out(count, wanted):
    """`count` samples of each wanted skill from the side of the split that training never sees."""
    draw, found = Draw(2024), defaultdict(list)
    draw.held_out = True
    makers = data.makers()
    while any(len(found[s]) < count for s in wanted):
        sample = draw.choice(makers)(draw, draw.random())
        if sample.skill in wanted and len(found[sample.skill]) < count:
            found[sample.skill].append(sample)
    return found


def expected(sample):
    """What has to stand after the thinking."""
    start = [{"role": "user", "content": "?"}]
    end = dict(sample.messages[-1], reasoning_content="")
    return chat.render([*start, end]).split("</think>")[-1].removesuffix("<|im_end|>\n").strip()


def right(sample, text):
    if text is None:
        return False
    got = text.split("</think>")[-1].strip()
    return sample.accept(got) if sample.accept else got == expected(sample)


def local_answers(model, samples, limit=220):
    tok = chat.tokenizer()
    prompts = [chat.prompt_ids(s) for s in samples]
    places = [data.rope_positions(p, [i.grid for i in s.images]) for p, s in zip(prompts, samples)]
    images = [data.join_images(s.images) for s in samples]
    stops = [chat.token("<|im_end|>"), chat.token("<|endoftext|>")]
    out = greedy(model, prompts, places, images, limit, stops, tok.get_vocab_size())
    return [None if o is None else tok.decode(o, skip_special_tokens=False) for o in out]


def png(image):
    buffer = io.BytesIO()
    image.picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def wire(sample):
    """The sample's prompt as a chat completion request."""
    pictures = iter(sample.images)
    messages = json.loads(json.dumps(sample.messages[:-1]))
    for message in messages:
        if isinstance(message["content"], list):
            message["content"] = [
                {"type": "image_url", "image_url": {"url": png(next(pictures))}} if part["type"] == "image" else part
                for part in message["content"]
            ]
        for i, call in enumerate(message.get("tool_calls", [])):
            call["id"] = f"call_{i}"
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        if message["role"] == "tool":
            message["tool_call_id"] = "call_0"
    body = {"messages": messages, "temperature": 0, "max_tokens": 300, "model": "demo"}
    body["chat_template_kwargs"] = {"enable_thinking": sample.think is not None}
    return body | ({"tools": sample.tools} if sample.tools else {})


def server_answer(url, sample):
    """The server's answer, written as the model would have written it."""
    request = urllib.request.Request(
        url.rstrip("/") + "/v1/chat/completions", json.dumps(wire(sample)).encode(), {"Content-Type": "application/json"}
    )
    choice = json.load(urllib.request.urlopen(request, timeout=300))["choices"][0]
    if choice["finish_reason"] == "length":
        return None
    message = {"role": "assistant", "content": choice["message"].get("content") or "", "reasoning_content": ""}
    if choice["message"].get("tool_calls"):
        message["tool_calls"] = [
            {"function": {"name": c["function"]["name"], "arguments": json.loads(c["function"]["arguments"])}}
            for c in choice["message"]["tool_calls"]
        ]
    text = chat.render([{"role": "user", "content": "?"}, message])
    return text.split("</think>")[-1].removesuffix("<|im_end|>\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="of a running OpenAI-compatible server; without it the snapshot is run here")
    parser.add_argument("--parallel", type=int, default=4, help="requests to the server at a time")
    parser.add_argument("--weights", type=Path, default=chat.HOME, help="a snapshot folder, or a training state")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--skills", nargs="*", default=list(SKILLS))
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print for each skill")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, pool = None, ThreadPoolExecutor(args.parallel)
    if not args.url:
        model = Demo(load_config()).eval()
        model.load_state_dict(load_state(args.weights))
    for skill, samples in sorted(held_out(args.count, args.skills).items()):
        if skill not in args.skills:
            continue
        texts = list(pool.map(lambda s: server_answer(args.url, s), samples)) if args.url else local_answers(model, samples)
        marks = [right(s, t) for s, t in zip(samples, texts)]
        print(f"{SKILLS[skill]:30} {100 * sum(marks) / len(marks):5.1f} %", flush=True)
        for sample, text in [x for x, ok in zip(zip(samples, texts), marks) if not ok][: args.show]:
            print("   ", repr(sample.messages[-2]["content"][-160:]), "\n     got", repr(text), "\n     not", repr(expected(sample)))


if __name__ == "__main__":
    main()
