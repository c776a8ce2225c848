// Word vectors beside ELMo: none, or GloVe from a file.
function(glove) {
  local used = glove != null,
  dim:: if used then glove.dim else 0,
  indexers:: if used then {
    tokens: { type: 'single_id', [if glove.lowercase then 'lowercase_tokens']: true },
  } else {},
  embedders:: if used then {
    tokens: { type: 'embedding', embedding_dim: glove.dim, pretrained_file: glove.file, trainable: false },
  } else {},
}
