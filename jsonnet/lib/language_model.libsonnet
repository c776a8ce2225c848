// A config of AWD-LSTM (Merity, Keskar and Socher 2018) on a folder of train.txt, valid.txt and test.txt; `p` is the task's
// part of a preset.
function(p, data, compression, seed) {
  dataset_reader: { type: 'language_text' },
  train_data_path: data + '/train.txt',
  validation_data_path: data + '/valid.txt',
  test_data_path: data + '/test.txt',
  // Unknown words become the text's own <unk> and nothing is padded: the vocabulary is the words of the text.
  vocabulary: { type: 'from_instances', oov_token: '<unk>', padding_token: '<eos>' },
  datasets_for_vocab_creation: ['train'],
  model: p.model + { type: 'awd_lstm', compression: compression },
  data_loader: { type: 'text_streams', batch_size: p.batch_size, steps: 70, vary: true },
  validation_data_loader: { type: 'text_streams', batch_size: 1, steps: 1000 },
  trainer: {
    num_epochs: p.epochs,
    patience: p.patience,
    grad_norm: 0.25,
    validation_metric: '-perplexity',
    optimizer: { type: 'sgd', lr: p.learning_rate, weight_decay: 1.2e-6 },
    moving_average: { type: 'nt_asgd' },
    callbacks: [{ type: 'nt_asgd', patience: p.non_monotone }],
    run_confidence_checks: false,
  },
  random_seed: seed,
  numpy_seed: seed,
  pytorch_seed: seed,
}
