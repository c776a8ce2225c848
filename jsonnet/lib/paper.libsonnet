// Published hyper-parameters. The three models with ELMo follow training_config/ of allennlp-models 2.10.1:
// classification/biattentive_classification_network_elmo, pair_classification/esim_elmo and rc/bidaf_elmo. The language models
// follow the README of AWD-LSTM's authors (https://github.com/salesforce/awd-lstm-lm): the commands for word-level LSTMs,
// without the fine-tuning after them, and the defaults of their main.py.
// docs/sweeps/published.json has the published values and every key that differs here, with the reason; a test compares them.
// `glove_file` is a parameter of the configs in jsonnet/paper/; AllenNLP's were glove.840B.300d (BCN) and glove.6B.100d
// (BiDAF).
function(glove_file) {
  sst: {
    glove: { file: glove_file, dim: 300, lowercase: false },
    tokenizer: null,  // the trees' own tokens
    subtrees: true,
    elmo_dropout: 0.0,
    elmo_mix: null,
    embedding_dropout: 0.5,
    pre_encode_dropout: 0.25,
    hidden: 300,
    maxout: [1200, 600],
    pool: 4,
    dropouts: [0.2, 0.3, 0.0],
    integrator_dropout: 0.1,
    batches: { type: 'bucket', batch_size: 100 },
    trainer: { num_epochs: 40, patience: 5, grad_norm: 5.0, optimizer: { type: 'adam', lr: 0.001 } },
  },
  snli: {
    glove: null,
    tokenizer: null,  // AllenNLP's default, spaCy's
    elmo_dropout: 0.0,
    elmo_mix: null,
    hidden: 300,
    dropout: 0.5,
    initializer: {
      regexes: [
        ['.*linear_layers.*weight', { type: 'xavier_uniform' }],
        ['.*linear_layers.*bias', { type: 'zero' }],
        ['.*weight_ih.*', { type: 'xavier_uniform' }],
        ['.*weight_hh.*', { type: 'orthogonal' }],
        ['.*bias_ih.*', { type: 'zero' }],
        ['.*bias_hh.*', { type: 'lstm_hidden_bias' }],
      ],
    },
    batches: { type: 'bucket', batch_size: 32 },
    trainer: {
      num_epochs: 75,
      patience: 5,
      grad_norm: 10.0,
      optimizer: { type: 'adam', lr: 0.0004 },
      learning_rate_scheduler: { type: 'reduce_on_plateau', factor: 0.5, mode: 'max', patience: 0 },
      checkpointer: { keep_most_recent_by_count: 2 },
    },
  },
  squad: {
    glove: { file: glove_file, dim: 100, lowercase: true },
    tokenizer: null,
    characters: { dim: 16, filters: 100, width: 5, dropout: 0.2 },
    elmo_dropout: 0.0,
    elmo_mix: null,
    phrase: 100,
    modeling: 100,
    highway_layers: 2,
    dropout: 0.2,
    mask_lstms: true,
    batches: { type: 'bucket', batch_size: 40 },
    trainer: {
      num_epochs: 20,
      patience: 10,
      grad_norm: 5.0,
      optimizer: { type: 'adam', betas: [0.9, 0.9] },
      learning_rate_scheduler: { type: 'reduce_on_plateau', factor: 0.5, mode: 'max', patience: 2 },
    },
  },
  ptb: {
    model: {
      embedding_dim: 400,
      hidden_size: 1150,
      num_layers: 3,
      embedding_dropout: 0.1,
      input_dropout: 0.4,
      hidden_dropout: 0.25,
      output_dropout: 0.4,
      weight_drop: 0.5,
      activation_regularisation: 2.0,
      temporal_regularisation: 1.0,
    },
    batch_size: 20,
    epochs: 500,
    patience: null,
    learning_rate: 30,
    non_monotone: 5,
  },
  wikitext2: self.ptb + {
    model+: { input_dropout: 0.65, hidden_dropout: 0.2 },
    batch_size: 80,
    epochs: 750,
  },
}
