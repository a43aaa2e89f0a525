"""The backbones of scripts/reference.py in float64, after the published formulas of each architecture.

Sources: transformers' modelling code (llama, mistral, qwen2, qwen3, gemma2, phi3, granite, and modeling_rope_utils for the
rotary embeddings), modeling_internlm2.py of the internlm2 repositories, YaRN (arXiv:2309.00071), LongRoPE
(arXiv:2402.13753), Llama 3.1's frequencies (its model card's code). Nothing of scorehead is used.
"""
import math

import numpy as np

SILU = lambda x: x * 0.5 * (1 + np.tanh(x / 2))
GELU_TANH = lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
ACTIVATIONS = {"silu": SILU, "gelu_pytorch_tanh": GELU_TANH}

# What transformers assumes where a config has no such key.
DEFAULTS = {
    "llama": {},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "qwen2": {"num_key_value_heads": 32, "use_sliding_window": False, "max_window_layers": 28},
    "qwen3": {"num_key_value_heads": 32, "head_dim": 128, "use_sliding_window": False, "max_window_layers": 28},
    "gemma2": {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096},
    "phi3": {},
    "internlm2": {},
    "granite": {},
}
EMBEDDINGS = ("embed_tokens", "tok_embeddings")


class Settings:
    """A config as the formulas below need it."""

    def __init__(self, config):
        self.kind = config["model_type"]
        if self.kind not in DEFAULTS:
            raise SystemExit(f"config.json: model_type {self.kind!r} is not supported.")
        get = {**DEFAULTS[self.kind], **config}.get
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.groups = get("num_key_value_heads") or self.heads
        self.width = config["hidden_size"]
        self.head_size = get("head_dim") or self.width // self.heads
        self.epsilon = config["rms_norm_eps"]
        gemma, granite = self.kind == "gemma2", self.kind == "granite"
        self.activation = ACTIVATIONS[config["hidden_activation" if gemma else "hidden_act"]]
        self.norm_offset = 1.0 if gemma else 0.0
        self.embedding_scale = math.sqrt(self.width) if gemma else get("embedding_multiplier", 1.0) if granite else 1.0
        self.residual_scale = get("residual_multiplier", 1.0) if granite else 1.0
        self.attention_scale = 1 / math.sqrt(get("query_pre_attn_scalar", 256) if gemma else self.head_size)
        if granite:
            self.attention_scale = get("attention_multiplier", 1.0)
        self.soft_cap = get("attn_logit_softcapping", 50.0) if gemma else None
        self.windows = [self.window(get, index) for index in range(self.layers)]
        self.rope = Rope(config, self.kind, self.head_size)

    def window(self, get, index):
        """How many tokens a layer sees, the query's own among them."""
        window = get("sliding_window")
        if self.kind == "gemma2":
            return window if index % 2 == 0 else None
        if self.kind in ("qwen2", "qwen3"):
            return window if get("use_sliding_window") and index >= get("max_window_layers") else None
        return window if self.kind in ("mistral", "phi3") else None


class Rope:
    """The frequencies of the rotary embedding, for texts of a length."""

    def __init__(self, config, kind, head_size):
        scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
        get = lambda key, default=None: scaling.get(key, config.get(key, default))
        self.kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind == "phi3" and self.kind == "su":
            self.kind = "longrope"
        self.theta = get("rope_theta", 10000.0)
        self.size = int(head_size * get("partial_rotary_factor", 1.0))
        self.limit = config["max_position_embeddings"]
        self.original = get("original_max_position_embeddings", self.limit)
        self.scaling = scaling

    def __call__(self, length):
        """The frequencies [size / 2], and what sines and cosines are multiplied by."""
        plain = self.frequencies(self.theta)
        rules = {"default": lambda: (plain, 1.0), "linear": lambda: (plain / self.scaling["factor"], 1.0)}
        rules |= {"dynamic": lambda: self.dynamic(length), "llama3": lambda: (self.llama3(plain), 1.0)}
        rules |= {"yarn": lambda: self.yarn(plain), "longrope": lambda: self.longrope(plain, length)}
        return rules[self.kind]()

    def frequencies(self, theta):
        return theta ** (-np.arange(0, self.size, 2) / self.size)

    def dynamic(self, length):
        factor, size = self.scaling["factor"], self.size
        stretched = factor * max(length, self.limit) / self.limit - (factor - 1)
        return self.frequencies(self.theta * stretched ** (size / (size - 2))), 1.0

    def llama3(self, plain):
        low, high = self.scaling["low_freq_factor"], self.scaling["high_freq_factor"]
        wavelength = 2 * math.pi / plain
        smooth = (self.original / wavelength - low) / (high - low)
        divided = plain / self.scaling["factor"]
        between = (1 - smooth) * divided + smooth * plain
        result = np.where(wavelength > self.original / low, divided, between)
        return np.where(wavelength < self.original / high, plain, result)

    def yarn(self, plain):
        factor = self.scaling["factor"]
        turns = lambda count: self.size * math.log(self.original / (count * 2 * math.pi)) / (2 * math.log(self.theta))
        low = max(math.floor(turns(self.scaling.get("beta_fast") or 32)), 0)
        high = min(math.ceil(turns(self.scaling.get("beta_slow") or 1)), self.size - 1)
        ramp = np.clip((np.arange(self.size // 2) - low) / max(high - low, 0.001), 0, 1)
        magnitude = self.scaling.get("attention_factor") or (0.1 * math.log(factor) + 1 if factor > 1 else 1.0)
        return plain / factor * ramp + plain * (1 - ramp), magnitude

    def longrope(self, plain, length):
        factors = self.scaling["long_factor" if length > self.original else "short_factor"]
        ratio = self.limit / self.original
        magnitude = 1.0 if ratio <= 1 else math.sqrt(1 + math.log(ratio) / math.log(self.original))
        return plain / np.array(factors), self.scaling.get("attention_factor") or magnitude

    def rotate(self, x, positions, length):
        """x [tokens, heads, size]: elements i and i + half are one complex number; what is beyond the size stays."""
        frequencies, magnitude = self(length)
        half = self.size // 2
        turned = (x[..., :half] + 1j * x[..., half : self.size]) * np.exp(1j * np.outer(positions, frequencies))[:, None, :]
        return np.concatenate([magnitude * turned.real, magnitude * turned.imag, x[..., self.size :]], axis=-1)


def rms_norm(x, gain, settings):
    scaled = x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + settings.epsilon)
    return (gain + settings.norm_offset) * scaled


class Layer:
    """One layer's weights under common names, whatever the checkpoint calls them."""

    NAMES = {
        "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
        "before": "input_layernorm", "between": "post_attention_layernorm",
        "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
    }
    RENAMED = {
        "gemma2": {
            "after_attention": "post_attention_layernorm", "between": "pre_feedforward_layernorm",
            "after": "post_feedforward_layernorm",
        },
        "internlm2": {
            "o": "attention.wo", "gate": "feed_forward.w1", "up": "feed_forward.w3", "down": "feed_forward.w2",
            "before": "attention_norm", "between": "ffn_norm",
        },
    }

    def __init__(self, weights, prefix, settings):
        self.settings = settings
        names = {**self.NAMES, **self.RENAMED.get(settings.kind, {})}
        self.weights, self.biases = {}, {}
        for name, own in names.items():
            for part, found in (("weight", self.weights), ("bias", self.biases)):
                if f"{prefix}{own}.{part}" in weights:
                    found[name] = weights[f"{prefix}{own}.{part}"]
        for part, found in (("weight", self.weights), ("bias", self.biases)):
            self.split(weights, prefix, part, found)

    def split(self, weights, prefix, part, found):
        heads, groups, size = self.settings.heads, self.settings.groups, self.settings.head_size
        if f"{prefix}self_attn.qkv_proj.{part}" in weights:
            fused = weights[f"{prefix}self_attn.qkv_proj.{part}"]
            found["q"], found["k"], found["v"] = np.split(fused, [heads * size, (heads + groups) * size])
        if f"{prefix}mlp.gate_up_proj.{part}" in weights:
            found["gate"], found["up"] = np.split(weights[f"{prefix}mlp.gate_up_proj.{part}"], 2)
        if f"{prefix}attention.wqkv.{part}" in weights:
            fused = weights[f"{prefix}attention.wqkv.{part}"]
            each = fused.reshape(groups, heads // groups + 2, size, -1)
            flat = lambda block: block.reshape(-1, *fused.shape[1:])
            found["q"], found["k"], found["v"] = flat(each[:, :-2]), flat(each[:, -2]), flat(each[:, -1])

    def linear(self, name, x):
        return x @ self.weights[name].T + self.biases.get(name, 0.0)

    def norm(self, name, x):
        """A norm that only some architectures have leaves x as it is elsewhere."""
        return rms_norm(x, self.weights[name], self.settings) if name in self.weights else x

    def attend(self, x, row, window):
        """Causal grouped-query attention of x [tokens, width], before the output projection."""
        s, count = self.settings, len(row.ids)
        q, k, v = (self.linear(name, x).reshape(count, -1, s.head_size) for name in "qkv")
        q, k = (s.rope.rotate(self.norm(f"{n}_norm", y), row.positions, count) for n, y in (("q", q), ("k", k)))
        distance = np.arange(count)[:, None] - np.arange(count)
        visible = (distance >= 0) & (distance < (window or count))
        if row.hide_last_from_itself:
            visible[-1, -1] = False
        out = np.empty_like(q)
        for head in range(s.heads):
            group = head * s.groups // s.heads
            logits = q[:, head] @ k[:, group].T * s.attention_scale
            if s.soft_cap:
                logits = s.soft_cap * np.tanh(logits / s.soft_cap)
            logits = np.where(visible, logits, -np.inf)
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            out[:, head] = shares / shares.sum(axis=1, keepdims=True) @ v[:, group]
        return out.reshape(count, -1)

    def __call__(self, x, row, window):
        s = self.settings
        attended = self.linear("o", self.attend(self.norm("before", x), row, window))
        x = x + s.residual_scale * self.norm("after_attention", attended)
        between = self.norm("between", x)
        gated = s.activation(self.linear("gate", between)) * self.linear("up", between)
        return x + s.residual_scale * self.norm("after", self.linear("down", gated))


def find_backbone(weights):
    """What stands before the backbone's names, and what its embedding is called."""
    for prefix in ("model.model.", "transformer.", "model."):
        for name in EMBEDDINGS:
            if f"{prefix}{name}.weight" in weights:
                return prefix, name
    raise SystemExit("The checkpoint has no embedding under a known name.")


def run(weights, config, rows):
    """Fills every row's hidden [tokens, width], after the final norm. Layer by layer, so one layer is in memory."""
    settings = Settings(config)
    prefix, embedding = find_backbone(weights)
    for row in rows:
        row.hidden = settings.embedding_scale * weights.rows(f"{prefix}{embedding}.weight", row.ids)
    for index, window in enumerate(settings.windows):
        layer = Layer(weights, f"{prefix}layers.{index}.", settings)
        for row in rows:
            row.hidden = layer(row.hidden, row, window)
    gain = weights[f"{prefix}norm.weight"]
    for row in rows:
        row.hidden = rms_norm(row.hidden, gain, settings)
