// ELMo in an AllenNLP config: how tokens become character ids, and how those become vectors.
{
  indexers:: { elmo_mf: { type: 'elmo_characters' } },

  embedder(options_file, weight_file, compression, cache_mb, dropout, mix):: {
    elmo_mf: {
      type: 'elmo_mf',
      options_file: options_file,
      weight_file: weight_file,
      compression: compression,
      dropout: dropout,
      cache_mb: cache_mb,
      scalar_mix_parameters: mix,
    },
  },

  // The width of its vectors: both directions' projections.
  dim(options):: 2 * options.lstm.projection_dim,
}
