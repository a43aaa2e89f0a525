"""A Llama forward pass in PyTorch, bfloat16 on the CPU, one text at a time, with a one-wide score head.

bfloat16 because its products go to oneDNN in every build; in float32 Debian's goes to a plain BLAS, fifty times slower.

usage: torch_engine.py SHAPE_JSON; then a line of JSON a call on stdin ({"texts": [[ids]], "perToken": bool}), a line back.
"""
import json
import sys

import torch
import torch.nn.functional as F

shape = json.loads(sys.argv[1])
torch.set_num_threads(shape["threads"])
torch.set_grad_enabled(False)
torch.set_default_dtype(torch.bfloat16)
width, heads, kv_heads, inner = (shape[k] for k in ("hiddenSize", "heads", "kvHeads", "feedForward"))
size = width // heads


def matrix(rows, columns):
    return torch.randn(rows, columns) / columns**0.5


def layer():
    return {
        "q": matrix(heads * size, width), "k": matrix(kv_heads * size, width), "v": matrix(kv_heads * size, width),
        "o": matrix(width, heads * size), "gate": matrix(inner, width), "up": matrix(inner, width), "down": matrix(width, inner),
    }


embedding = torch.randn(shape["vocabularySize"], width)
layers = [layer() for _ in range(shape["layers"])]
head = matrix(1, width)


def norm(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def rotate(x, cosine, sine):
    a, b = x[..., : size // 2], x[..., size // 2 :]
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)


def score(ids, per_token):
    n = len(ids)
    x = embedding[ids]
    angles = torch.arange(n)[:, None] * (10000.0 ** (-torch.arange(0, size, 2) / size))[None]
    cosine, sine = angles.cos(), angles.sin()
    mask = torch.full((n, n), float("-inf")).triu(1)
    for w in layers:
        h = norm(x)
        q = rotate((h @ w["q"].T).view(n, heads, size).transpose(0, 1), cosine, sine)
        k = rotate((h @ w["k"].T).view(n, kv_heads, size).transpose(0, 1), cosine, sine).repeat_interleave(heads // kv_heads, 0)
        v = (h @ w["v"].T).view(n, kv_heads, size).transpose(0, 1).repeat_interleave(heads // kv_heads, 0)
        a = torch.softmax(q @ k.transpose(1, 2) / size**0.5 + mask, -1) @ v
        x = x + a.transpose(0, 1).reshape(n, heads * size) @ w["o"].T
        h = norm(x)
        x = x + (F.silu(h @ w["gate"].T) * (h @ w["up"].T)) @ w["down"].T
    return norm(x if per_token else x[-1:]) @ head.T


print("ready", flush=True)
for line in sys.stdin:
    call = json.loads(line)
    for ids in call["texts"]:
        score(torch.tensor(ids), call["perToken"])
    print("done", flush=True)
