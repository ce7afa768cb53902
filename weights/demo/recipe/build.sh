#!/bin/bash
# From nothing to the snapshot. Every step goes on where it was stopped; the state stays in $1.
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-$HOME/.cache/demo-train}
python=${PYTHON:-python3}
# keep freed memory in the process: without this, fresh pages cost more than the arithmetic
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=20000000000
[ -e ../tokenizer.json ] || $python tokenizer.py
$python check.py
tokens=${TOKENS:-32e6}
$python train.py --out "$out" --tokens "$tokens" --pause 4e6
[ -e "$out/tower-taught" ] || { $python see.py "$out/state.pt" && touch "$out/tower-taught"; }
$python train.py --out "$out" --tokens "$tokens"
[ -e "$out/tower-taught-again" ] || { $python see.py "$out/state.pt" --more --steps 2600 && touch "$out/tower-taught-again"; }
$python snapshot.py "$out/state.pt" ..
$python curve.py "$out/log.jsonl" ../loss.svg
$python evaluate.py
$python measure.py
