"""Trains the byte-level BPE on generated dialogues and writes tokenizer.json and tokenizer_config.json."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import chat
import data
from words import Draw, ENDS, STARTS

BASE = 1900
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ADDED = """<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>
<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> <tool_call>
</tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tool_response>
</tool_response> <think> </think> <|audio_start|> <|audio_end|> <tts_pad> <tts_text_bos> <tts_text_eod>
<tts_text_bos_single> <|audio_pad|>""".split()
PLAIN = ADDED[14:26]  # printed by a decoder that skips special tokens


def parts():
    """The parts of made-up words, so often that they become tokens before any other pair can."""
    for before in ("", " ", "_", "=", '"', "`"):
        for part in STARTS + ENDS:
            yield "\n".join([before + part, before + part.capitalize()] if before in ("", " ") else [before + part])


def corpus(count):
    for _ in range(6000):
        yield from parts()
    draw = Draw(1)
    for i in range(count):
        sample = data.any_sample(draw, draw.random(), pictures=False)
        text = chat.render(sample.messages, sample.tools)
        for token in ADDED:
            text = text.replace(token, "\n")
        yield text


def build():
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tok.train_from_iterator(corpus(12000), trainers.BpeTrainer(vocab_size=BASE, initial_alphabet=alphabet, show_progress=False))
    assert tok.get_vocab_size() == BASE
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.add_tokens([AddedToken(t, special=t not in PLAIN, normalized=False) for t in ADDED])
    tok.save(str(chat.HOME / "tokenizer.json"))
    write_config(tok)


def write_config(tok):
    table = {
        str(tok.token_to_id(t)): {
            "content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": t not in PLAIN,
        }
        for t in ADDED
    }
    config = {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": table, "bos_token": None,
        "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 8192,
        "pad_token": "<|endoftext|>", "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }
    (chat.HOME / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    build()
