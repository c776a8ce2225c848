// Tagging of names with a biLSTM, a conditional random field, GloVe and AllenNLP's own ELMo (Peters et al. 2018).
// See docs/acceleration/train.py.
local elmo = import '../lib/elmo.libsonnet';
local lstm = (import '../lib/lstm.libsonnet')({});
local words = import '../lib/words.libsonnet';

function(
  data,
  glove_file=null,
  options_file='weights/base/options.json',
  weight_file='weights/base/weights.hdf5',
  elmo_dim=elmo.dim(import '../../weights/base/options.json'),
)
  local w = words(if glove_file == null then null else { file: glove_file, dim: 100, lowercase: true });
  {
    dataset_reader: { type: 'sequence_tagging', token_indexers: w.indexers + elmo.indexers },
    train_data_path: data + '/train.txt',
    validation_data_path: data + '/dev.txt',
    model: {
      type: 'crf_tagger',
      label_encoding: 'BIO',
      calculate_span_f1: true,
      dropout: 0.5,
      text_field_embedder: {
        token_embedders: w.embedders {
          elmo_mf: { type: 'elmo_token_embedder', options_file: options_file, weight_file: weight_file, dropout: 0.5 },
        },
      },
      encoder: lstm(w.dim + elmo_dim, 100),
    },
    data_loader: { batch_sampler: { type: 'bucket', batch_size: 32, sorting_keys: ['tokens'] } },
    validation_data_loader: { batch_size: 64 },
    trainer: {
      num_epochs: 4,
      validation_metric: '+f1-measure-overall',
      grad_norm: 5.0,
      optimizer: { type: 'adam', lr: 0.001 },
    },
    random_seed: 13,
    numpy_seed: 13,
    pytorch_seed: 13,
  }
