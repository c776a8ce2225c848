// AllenNLP's own ELMo, `elmo_token_embedder`, in place of this project's encoder in a config.
function(config, options_file, weight_file, dropout=0.2)
  local embedders = config.model.text_field_embedder.token_embedders;
  config {
    model+: {
      text_field_embedder+: {
        token_embedders: embedders {
          elmo_mf: {
            type: 'elmo_token_embedder',
            options_file: options_file,
            weight_file: weight_file,
            dropout: dropout,
          },
        },
      },
    },
  }
