// The published board's sizes: word vectors beside ELMo and all three of its layers, as in the published models, in task
// models of about half the published width. A run takes minutes on one core.
// `glove_file` has vectors of 100 numbers for lower-cased words.
local demo = import 'demo.libsonnet';
function(glove_file)
  local glove = { file: glove_file, dim: 100, lowercase: true };
  // AllenNLP's `lstm` with products that a processor has instructions for; scores are in float32
  local lstm = { type: 'elmo_mf_lstm', training_precision: 'bfloat16' };
  demo {
    sst+: {
      glove: glove,
      lstm: lstm,
      tokenizer: null,  // the trees' own tokens
      phrases: 4,
      elmo_dropout: 0.3,
      elmo_mix: null,
      embedding_dropout: 0.3,
      pre_encode_dropout: 0.25,
      hidden: 150,
      maxout: [300, 150],
      pool: 4,
      dropouts: [0.2, 0.3, 0.0],
      batches: { type: 'bucket', batch_size: 64, sorting_keys: ['tokens'] },
      trainer: {
        num_epochs: 10,
        patience: 2,
        grad_norm: 5.0,
        optimizer: { type: 'adam', lr: 0.001 },
        learning_rate_scheduler: { type: 'reduce_on_plateau', factor: 0.5, mode: 'max', patience: 0 },
      },
    },
    snli+: {
      glove: glove,
      lstm: lstm,
      elmo_mix: null,
      hidden: 150,
      dropout: 0.2,
      trainer: {
        num_epochs: 10,
        grad_norm: 10.0,
        optimizer: { type: 'adam', lr: 0.001 },
        learning_rate_scheduler: { type: 'linear_with_warmup', warmup_steps: 100 },
      },
    },
    squad+: {
      glove: glove,
      lstm: lstm,
      elmo_mix: null,
      phrase: 64,
      modeling: 64,
      dropout: 0.2,
      batches: { type: 'bucket', batch_size: 20, sorting_keys: ['passage', 'question'] },
      trainer: {
        num_epochs: 12,
        patience: 2,
        grad_norm: 5.0,
        optimizer: { type: 'adam', lr: 0.001 },
        learning_rate_scheduler: { type: 'reduce_on_plateau', factor: 0.5, mode: 'max', patience: 0 },
      },
    },
  }
