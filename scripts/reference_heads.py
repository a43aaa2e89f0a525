"""The heads of scripts/reference.py, in float64: linear with safe-rlhf's normaliser, MLP, and ArmoRM's gate.

Each takes a row, whose hidden states `hidden [tokens, width]` are after the final norm, and gives [tokens, outputs].
Formulas: safe-rlhf's score_model; GRM's ValueHead, INF-ORM's INFORMForSequenceClassification and WorldPM's
Qwen2ForRewardModel (ReLU between the layers of a Sequential); ArmoRM's LlamaForRewardModelWithGating.
"""
import numpy as np

# "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n" in Llama 3's vocabulary.
GATING_PATTERN = [128009, 128006, 78191, 128007, 271]


def open_head(weights, config):
    """The head that the checkpoint's tensors tell."""
    for name in ("score", "v_head.summary"):
        if f"{name}.0.weight" in weights:
            return MlpHead(weights, name)
    if "regression_layer.weight" in weights:
        return GatedHead(weights, config)
    return LinearHead(weights, config)


def linear(weights, name, x):
    bias = weights[f"{name}.bias"] if f"{name}.bias" in weights else 0.0
    return x @ weights[f"{name}.weight"].T + bias


def mlp(weights, names, x):
    """Linear layers with ReLU between them."""
    for name in names[:-1]:
        x = np.maximum(linear(weights, name, x), 0.0)
    return linear(weights, names[-1], x)


def layer_names(weights, prefix):
    """The layers under a prefix, in the order of their indices, which may leave numbers out."""
    return [f"{prefix}.{i}" for i in range(100) if f"{prefix}.{i}.weight" in weights]


class LinearHead:
    """With its bias and, where the config switches it on, safe-rlhf's normaliser."""

    def __init__(self, weights, config):
        self.weights = weights
        self.name = next(name for name in ("score_head", "v_head", "score", "regression_head") if f"{name}.weight" in weights)
        self.normalizer = config.get("score_type") if config.get("do_normalize") else None
        if self.normalizer:
            stored = "normalizer.mean" in weights
            self.mean = weights["normalizer.mean"] if stored else np.array(config["mean"], np.float64)
            self.deviation = np.sqrt(weights["normalizer.var"] if stored else np.array(config["var"], np.float64)) + 1e-8

    def takes(self, ids):
        return True

    def __call__(self, row):
        scores = linear(self.weights, self.name, row.hidden)
        if self.normalizer == "reward":
            scores = scores - self.mean
        return scores / self.deviation if self.normalizer else scores


class MlpHead:
    def __init__(self, weights, name):
        self.weights = weights
        self.name = name

    def takes(self, ids):
        return True

    def __call__(self, row):
        return mlp(self.weights, layer_names(self.weights, self.name), row.hidden)


class GatedHead:
    """The score, mixed by the gate at the text's last prompt end, then the rewards it is mixed from."""

    def __init__(self, weights, config):
        self.weights = weights
        self.name = "regression_layer"
        self.temperature = config["gating_temperature"]

    def position(self, ids):
        length = len(GATING_PATTERN)
        starts = [i for i in range(len(ids) - length + 1) if ids[i:i + length] == GATING_PATTERN]
        return starts[-1] if starts else None

    def takes(self, ids):
        return self.position(ids) is not None

    def __call__(self, row):
        rewards = linear(self.weights, self.name, row.hidden)
        prompt = row.hidden[self.position(row.ids)]
        logits = mlp(self.weights, layer_names(self.weights, "gating.layers"), prompt) / self.temperature
        shares = np.exp(logits - logits.max())
        gate = shares / shares.sum() * self.weights["gating.logit_scale"][0]
        score = (rewards @ self.weights["reward_transform_matrix"]) @ gate
        return np.concatenate([score[:, None], rewards], axis=1)
