/**
 * Config keys that hidden states and scores do not depend on. A key that is neither here nor read by the conversion may
 * change what a model computes, so it is refused.
 */

const KEYS: ReadonlySet<string> = new Set([
  // What the checkpoint is and how it was saved.
  ...["architectures", "auto_map", "model_type", "torch_dtype", "dtype", "transformers_version", "tokenizer_class"],
  ...["finetuning_task", "problem_type", "task_specific_params", "torchscript", "use_bfloat16", "tf_legacy_loss"],
  ...["unsloth_version", "unsloth_fixed", "is_llama_config", "transformers.js_config", "sentence_transformers"],
  ...["model_max_length", "seq_length", "max_seq_len", "max_sequence_length"],
  // How it is run.
  ...["use_cache", "cache_implementation", "attn_implementation", "pretraining_tp", "chunk_size_feed_forward"],
  ...["gradient_checkpointing", "use_flash_attention_2", "use_flash_attn", "return_dict", "output_attentions"],
  ...["output_hidden_states", "output_past", "keys_to_ignore_at_inference", "is_decoder"],
  // Training.
  ...["initializer_range", "neftune_noise_alpha", "router_aux_loss_coef", "aux_loss_alpha", "loss_type"],
  // Generation, and the vocabulary matrix behind the hidden state.
  ...["max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping", "num_beams", "num_beam_groups"],
  ...["diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty"],
  ...["no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "num_return_sequences", "remove_invalid_values"],
  ...["bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "exponential_decay_length_penalty", "prefix"],
  ...["tie_word_embeddings", "tie_encoder_decoder", "final_logit_softcapping", "logits_scaling"],
  // Read elsewhere: the vocabulary's size by the tensor, labels and outputs by the head.
  ...["vocab_size", "id2label", "label2id", "num_labels"],
  // Beside `hidden_activation` and `sliding_window`, which are the ones that count.
  ...["hidden_act", "sliding_window_size"],
]);

/** Token ids, dropout, and what transformers keeps for itself. */
const PATTERNS: readonly RegExp[] = [/_token_ids?$/, /dropout|_pdrop$/, /^_/];

/** Values at which a setting changes nothing. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
  embedding_multiplier: 1,
  residual_multiplier: 1,
  full_attn_mod: 1, // Phi-4-mini
  interpolate_factor: 1, // Phi-4-mini
  is_causal: true,
};

export function isWithoutEffect(key: string, value: unknown): boolean {
  return KEYS.has(key) || PATTERNS.some((pattern) => pattern.test(key)) || (key in NEUTRAL && NEUTRAL[key] === value);
}
