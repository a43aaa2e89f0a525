"""An independent reference for models with a score head, in float64; the backbones are in reference_models.py.

usage: python3 scripts/reference.py CHECKPOINT_DIR [--tokenizer DIR] --texts TEXTS.json --out GOLDEN.json
                                    [--max-lengths N,N]

Reads the checkpoint's own files (safetensors, or a torch zip through torch.load), tokenizes by tokenizer.json and
computes everything in float64 from the weights as they are stored. TEXTS.json is an array of strings, or of objects
{"tokenIds": [...]} that are not tokenized. With
--max-lengths, texts that have more tokens are also scored after cutting them from the left, BOS kept. Nothing of
scorehead is used, so its results can be held against these. Needs python3-numpy, and python3-torch for a torch zip.
scripts/golden.ts runs it over every fixture.
"""
import argparse
import glob
import hashlib
import heapq
import json
import os
import re
from dataclasses import dataclass

import numpy as np
from reference_heads import open_head
from reference_models import run

SPACE = "\u2581"
UNK = 0


class SafetensorsWeights:
    """Tensors of one or several safetensors files, converted when asked for."""

    def __init__(self, paths):
        self.files = paths
        self.entries = {}
        for path in paths:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            header.pop("__metadata__", None)
            for name, entry in header.items():
                self.entries[name] = (path, 8 + size + entry["data_offsets"][0], entry["dtype"], entry["shape"])

    def __contains__(self, name):
        return name in self.entries

    def __getitem__(self, name):
        return self.rows(name, slice(None))

    def rows(self, name, selection):
        path, offset, dtype, shape = self.entries[name]
        stored = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[dtype]
        values = np.memmap(path, stored, "r", offset, tuple(shape))[selection]
        if dtype == "BF16":  # the upper half of an f32
            values = (values.astype("<u4") << 16).view("<f4")
        return values.astype(np.float64)


class TorchWeights:
    """The tensors of a torch zip."""

    def __init__(self, path):
        import torch

        self.files = [path]
        self.state = torch.load(path, map_location="cpu", weights_only=True)

    def __contains__(self, name):
        return name in self.state

    def __getitem__(self, name):
        return self.state[name].double().numpy()

    def rows(self, name, selection):
        return self.state[name][selection].double().numpy()


def open_weights(directory):
    paths = sorted(glob.glob(f"{directory}/*.safetensors"))
    if paths:
        return SafetensorsWeights(paths)
    paths = sorted(glob.glob(f"{directory}/*.pt") + glob.glob(f"{directory}/*model.bin"))
    if len(paths) != 1:
        raise SystemExit(f"{directory} holds no safetensors file and {len(paths)} torch files; one was expected.")
    return TorchWeights(paths[0])


class Tokenizer:
    """A byte-fallback BPE tokenizer, by the rules of Hugging Face's tokenizers library."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        model = document["model"]
        self.ids = model["vocab"]
        pairs = (m.split(" ") if isinstance(m, str) else m for m in model["merges"])
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(pairs)}
        self.prefix = self.space_prefix(document)
        self.bos = next(iter(document["post_processor"]["special_tokens"].values()))["ids"]
        added = document["added_tokens"]
        if any(token["lstrip"] or token["rstrip"] or token["single_word"] for token in added):
            raise SystemExit(f"{path}: added tokens that strip spaces are not supported.")
        # Tokens with "normalized" are looked for in normalised text, their own text normalised likewise.
        self.raw_tokens = {t["content"]: t["id"] for t in added if not t["normalized"]}
        self.normalized_tokens = {self.normalize(t["content"]): t["id"] for t in added if t["normalized"]}

    @staticmethod
    def space_prefix(document):
        """"each": a Prepend normaliser; "first": a Metaspace pre-tokenizer at the text's beginning."""
        normalizer, pre = document["normalizer"], document["pre_tokenizer"]
        if pre is None and [n["type"] for n in normalizer["normalizers"]] == ["Prepend", "Replace"]:
            return "each"
        if normalizer is None and pre["type"] == "Metaspace" and pre["prepend_scheme"] == "first" and not pre["split"]:
            return "first"
        raise SystemExit("This tokenizer's normaliser and pre-tokenizer are not supported.")

    def normalize(self, text):
        return (SPACE + text).replace(" ", SPACE) if self.prefix == "each" and text else text

    def pre_tokenize(self, text, at_start):
        if self.prefix == "each":
            return text
        text = text.replace(" ", SPACE)
        return text if text.startswith(SPACE) or not at_start else SPACE + text

    @staticmethod
    def split(text, tokens):
        """(position, stretch of text) and (position, id) in order; the longest token wins where several begin."""
        if not tokens:
            return [(0, text)]
        pattern = "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
        parts, position = [], 0
        for part in re.split(f"({pattern})", text):
            parts.append((position, tokens.get(part, part)))
            position += len(part)
        return [(at, part) for at, part in parts if part != ""]

    def encode(self, text):
        ids = list(self.bos)
        for start, part in self.split(text, self.raw_tokens):
            if isinstance(part, int):
                ids.append(part)
                continue
            for offset, piece in self.split(self.normalize(part), self.normalized_tokens):
                ids += [piece] if isinstance(piece, int) else self.merge(self.pre_tokenize(piece, start + offset == 0))
        return ids

    def merge(self, text):
        """Applies the best-ranked merge, the leftmost of equals, until none is left."""
        symbols = list(text)
        before, after = list(range(-1, len(text) - 1)), list(range(1, len(text) + 1))
        queue = []

        def propose(left):
            right = after[left] if left >= 0 else len(symbols)
            if right < len(symbols):
                rank = self.ranks.get((symbols[left], symbols[right]))
                if rank is not None:
                    heapq.heappush(queue, (rank, left, right, symbols[left], symbols[right]))

        for left in range(len(symbols)):
            propose(left)
        while queue:
            _, left, right, left_text, right_text = heapq.heappop(queue)
            if (symbols[left], symbols[right], after[left]) != (left_text, right_text, right):
                continue  # one of the two has been merged since
            symbols[left], symbols[right] = left_text + right_text, None
            after[left] = after[right]
            if after[left] < len(symbols):
                before[after[left]] = left
            propose(before[left])
            propose(left)
        return [token for symbol in symbols if symbol is not None for token in self.lookup(symbol)]

    def lookup(self, symbol):
        if symbol in self.ids:
            return [self.ids[symbol]]
        return [self.ids[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]


@dataclass
class Row:
    """A sequence to run: its ids and positions, and whether its last token is hidden from itself."""

    ids: list
    positions: np.ndarray
    hide_last_from_itself: bool = False
    hidden: np.ndarray = None


def plain_row(ids):
    return Row(ids, np.arange(len(ids)))


def card_row(ids, max_length):
    """Starling's card pads with <unk> to max_length under an attention mask and reads the last position."""
    if len(ids) == max_length:
        return plain_row(ids)
    return Row(ids + [UNK], np.append(np.arange(len(ids)), max_length - 1), hide_last_from_itself=True)


def cut_left(ids, max_length):
    return ids if len(ids) <= max_length else ids[:1] + ids[len(ids) - max_length + 1:]


def card_lengths(count):
    """Where Starling's card is read: the <unk> directly behind the text, one position further, and far away."""
    return sorted({count + 1, count + 2, 512, 2048})


def score_texts(weights, config, tokenizer, texts, max_lengths):
    """One result a text, unrounded."""
    head = open_head(weights, config)
    has_card = head.name == "v_head" and config["model_type"] == "llama"
    jobs = []
    for text in texts:
        ids = text["tokenIds"] if isinstance(text, dict) else tokenizer.encode(text)
        cuts = {n: plain_row(cut_left(ids, n)) for n in max_lengths if n < len(ids) and head.takes(cut_left(ids, n))}
        cards = {n: card_row(cut_left(ids, n), n) for n in card_lengths(len(ids)) if has_card}
        jobs.append((text, plain_row(ids), cuts, cards))
    rows = [row for _, whole, cuts, cards in jobs for row in (whole, *cuts.values(), *cards.values())]
    run(weights, config, rows)
    return [result(head, *job) for job in jobs]


def result(head, text, whole, cuts, cards):
    scores = head(whole)
    truncated = [
        {"maxLength": n, "tokenIds": row.ids, "dropped": len(whole.ids) - n, "endScores": head(row)[-1]}
        for n, row in cuts.items()
    ]
    card = [
        {"maxLength": n, "endIndex": n - 1, "endScores": head(row)[-1], "endLastHiddenState": row.hidden[-1]}
        for n, row in cards.items()
    ]
    return {
        "text": text,
        "tokenIds": whole.ids,
        "endIndex": len(whole.ids) - 1,
        "endScores": scores[-1],
        "scores": scores,
        "endLastHiddenState": whole.hidden[-1],
        "hiddenRms": np.sqrt(np.mean(np.square(whole.hidden), axis=-1)),
        "truncated": truncated,
        "card": card,
    }


def rounded(value):
    """Plain Python values, with nine significant digits: more than float32 holds."""
    if isinstance(value, np.ndarray):
        return rounded(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_golden(path, document):
    """JSON with one line a member, and within `results` one line a member of each result: small, and readable diffs."""
    def line(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def members(entries, indent):
        return ",\n".join(f"{indent}{line(key)}: {value}" for key, value in entries)

    results = [f"{{\n{members(((k, line(v)) for k, v in r.items()), '  ')}\n }}" for r in document.pop("results")]
    entries = [(key, line(value)) for key, value in document.items()] + [("results", f"[{', '.join(results)}]")]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{{\n{members(entries, ' ')}\n}}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--tokenizer", help="directory of tokenizer.json and config.json where not the checkpoint's")
    parser.add_argument("--texts", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--max-lengths", default="")
    options = parser.parse_args()
    tokenizer_directory = options.tokenizer or options.checkpoint
    own_config = f"{options.checkpoint}/config.json"
    config_path = own_config if os.path.exists(own_config) else f"{tokenizer_directory}/config.json"
    tokenizer_path = f"{tokenizer_directory}/tokenizer.json"
    with open(config_path, encoding="utf-8") as file:
        config = json.load(file)
    with open(options.texts, encoding="utf-8") as file:
        texts = json.load(file)
    weights = open_weights(options.checkpoint)
    max_lengths = [int(n) for n in options.max_lengths.split(",") if n]
    results = score_texts(weights, config, Tokenizer(tokenizer_path), texts, max_lengths)
    document = {
        "reference": "float64, weights as stored, nine significant digits",
        "config": config,
        "sha256": {os.path.basename(path): sha256(path) for path in [*weights.files, config_path, tokenizer_path]},
        "results": rounded(results),
    }
    write_golden(options.out, document)


if __name__ == "__main__":
    main()
