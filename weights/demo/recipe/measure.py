"""MTP acceptance against a bigram table, the experts' histogram and how often experts repeat, on held-out prompts."""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import torch

import chat
import data
from decode import greedy
from evaluate import SKILLS, held_out
from model import Demo
from snapshot import load_state
from train import load_config
from words import Draw


def own_answers(model, samples):
    """(tokens, length of the prompt, sample) of the model's greedy dialogues."""
    prompts = [chat.prompt_ids(s) for s in samples]
    places = [data.rope_positions(p, [i.grid for i in s.images]) for p, s in zip(prompts, samples)]
    images = [data.join_images(s.images) for s in samples]
    end = chat.token("<|im_end|>")
    out = greedy(model, prompts, places, images, 220, [end], chat.tokenizer().get_vocab_size())
    return [(p + o + [end], len(p), s) for p, o, s in zip(prompts, out, samples) if o is not None]


@torch.no_grad()
def run(model, ids, sample):
    """One dialogue through the model and the draft head; returns the drafts: drafts[i] is for place i + 2."""
    padded = ids + [0] * (-len(ids) % 64)
    tokens, place = torch.tensor([padded]), torch.arange(len(padded))[None]
    positions = torch.from_numpy(data.rope_positions(padded, [i.grid for i in sample.images]))[:, None]
    seq = model.sequence(place, positions)
    embedded = model.embed(tokens, data.join_images(sample.images))
    hidden = model(embedded, seq)
    return model.lm_head(model.mtp(embedded.roll(-1, 1), hidden, seq))[0].argmax(-1).tolist()


def bigrams(count=4000):
    """The most frequent successor of each token in what the assistant writes in training."""
    draw, table = Draw(77), defaultdict(Counter)
    for _ in range(count):
        ids, weights = chat.encode(data.any_sample(draw, 1.0))
        for a, b, w in zip(ids, ids[1:], weights[1:]):
            if w:
                table[a][b] += 1
    return {a: c.most_common(1)[0][0] for a, c in table.items()}


def note_routing(model, start, length, histogram, repeats):
    """histogram [2, layers, experts]: of whole dialogues, and of their answers alone."""
    for i, layer in enumerate(model.model["language_model"].layers):
        chosen = layer.mlp.chosen[start:length]
        for counts, part in zip(histogram[:, i], (layer.mlp.chosen[:length], chosen)):
            counts += torch.bincount(part.reshape(-1), minlength=len(counts))
        same = (chosen[1:, :, None] == chosen[:-1, None, :]).any(-1).float()
        repeats[i].append(same.mean().item() if len(same) else 0.0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path, default=chat.HOME)
    parser.add_argument("--count", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = Demo(load_config()).eval()
    model.load_state_dict(load_state(args.weights))
    text = model.config["text_config"]
    layers, experts = text["num_hidden_layers"], text["num_experts"]
    histogram, repeats = torch.zeros(2, layers, experts, dtype=torch.long), defaultdict(list)
    table, total = bigrams(), Counter()
    for skill, samples in sorted(held_out(args.count, list(SKILLS)).items()):
        if skill not in SKILLS:
            continue
        hits = Counter()
        for ids, start, sample in own_answers(model, samples):
            drafts = run(model, ids, sample)
            for i in range(start, len(ids)):
                hits["all"] += 1
                hits["mtp"] += drafts[i - 2] == ids[i]
                hits["bigram"] += table.get(ids[i - 1]) == ids[i]
            note_routing(model, start, len(ids), histogram, repeats)
        total += hits
        report(SKILLS[skill], hits)
    report("overall", total)
    print("\nlayer | least and most used expert, 1 is an even share: dialogues | answers alone | repeated from the token before")
    share = histogram * experts / histogram.sum(-1, keepdim=True)
    for i, (whole, part) in enumerate(share.transpose(0, 1)):
        again = 100 * sum(repeats[i]) / len(repeats[i])
        print(f"| {i} | {whole.min():.2f} | {whole.max():.2f} | {part.min():.2f} | {part.max():.2f} | {again:.1f} % |")
    print("\nhistogram of dialogues, one line a layer:")
    for row in histogram[0].tolist():
        print(" ".join(map(str, row)))


def report(name, hits):
    if hits["all"]:
        print(f"{name:30} mtp {100 * hits['mtp'] / hits['all']:5.1f} %   bigram {100 * hits['bigram'] / hits['all']:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
