// Classification of texts of your own: an LSTM over ELMo, the mean of its states, and a linear layer.
local elmo = import 'lib/elmo.libsonnet';
local words = import 'lib/words.libsonnet';

function(
  preset=(import 'lib/demo.libsonnet'),
  data='.',
  files={ train: 'train.jsonl', validation: 'dev.jsonl' },
  columns={ text: 'text', label: 'label' },
  options_file='weights/demo/options.json',
  weight_file='weights/demo/weights.hdf5',
  elmo_dim=elmo.dim(import '../weights/demo/options.json'),
  compression=null,
  cache_mb=1000,
  seed=13,
)
  local p = preset.sst;
  local w = words(p.glove);
  // `basic_classifier` requires ids of words, even if nothing embeds them
  local ids = if w.dim > 0 then w else { indexers: { tokens: { type: 'single_id' } }, embedders: { tokens: { type: 'empty' } } };
  local lstm = (import 'lib/lstm.libsonnet')(p);
  {
    dataset_reader: {
      type: 'text_classification_json',
      tokenizer: { type: 'spacy_rules' },
      token_indexers: ids.indexers + elmo.indexers,
      text_key: columns.text,
      label_key: columns.label,
    },
    train_data_path: data + '/' + files.train,
    validation_data_path: data + '/' + files.validation,
    [if std.objectHas(files, 'test') then 'test_data_path']: data + '/' + files.test,
    model: {
      type: 'basic_classifier',
      text_field_embedder: {
        token_embedders: ids.embedders + elmo.embedder(options_file, weight_file, compression, cache_mb, p.elmo_dropout, p.elmo_mix),
      },
      seq2seq_encoder: lstm(w.dim + elmo_dim, p.hidden),
      seq2vec_encoder: { type: 'boe', embedding_dim: 2 * p.hidden, averaged: true },
      dropout: p.embedding_dropout,
    },
    data_loader: { batch_sampler: p.batches },
    validation_data_loader: { batch_size: 64 },
    trainer: p.trainer { validation_metric: '+accuracy' },
    random_seed: seed,
    numpy_seed: seed,
    pytorch_seed: seed,
  }
