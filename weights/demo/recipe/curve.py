"""Draws the training loss over tokens."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt


def main(log, picture):
    lines = []
    for line in map(json.loads, Path(log).read_text().splitlines()):
        lines = [x for x in lines if x["tokens"] < line["tokens"]]  # a restart repeats what was not saved
        lines.append(line)
    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.plot([x["tokens"] / 1e6 for x in lines], [x["loss"] for x in lines], linewidth=0.8)
    axes.set(xlabel="million tokens", ylabel="loss on assistant tokens", yscale="log")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
