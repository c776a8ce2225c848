// Sentiment (SST, five classes) with the biattentive classification network of McCann et al. 2017.
// From the project's root: allennlp train jsonnet/sst.jsonnet -s OUT
local elmo = import 'lib/elmo.libsonnet';
local words = import 'lib/words.libsonnet';

function(
  preset=(import 'lib/demo.libsonnet'),
  data='tasks/sst/demo',
  options_file='weights/demo/options.json',
  weight_file='weights/demo/weights.hdf5',
  elmo_dim=elmo.dim(import '../weights/demo/options.json'),
  compression=null,
  cache_mb=1000,
  seed=13,
)
  local p = preset.sst;
  local w = words(p.glove);
  local lstm = (import 'lib/lstm.libsonnet')(p);
  local reader(kind) = kind {
    [if p.tokenizer != null then 'tokenizer']: p.tokenizer,
    token_indexers: w.indexers + elmo.indexers,
  };
  local sentences = { type: 'sst_tokens', granularity: '5-class', use_subtrees: false };
  // `phrases`: the smallest number of words of a subtree that is an example too
  local training = if std.objectHas(p, 'phrases') then { type: 'sst_phrases', min_words: p.phrases } else sentences { use_subtrees: p.subtrees };
  {
    dataset_reader: reader(training),
    validation_dataset_reader: reader(sentences),
    train_data_path: data + '/train.txt',
    validation_data_path: data + '/dev.txt',
    test_data_path: data + '/test.txt',
    model: {
      type: 'bcn',
      text_field_embedder: {
        token_embedders: w.embedders + elmo.embedder(options_file, weight_file, compression, cache_mb, p.elmo_dropout, p.elmo_mix),
      },
      embedding_dropout: p.embedding_dropout,
      pre_encode_feedforward: {
        input_dim: w.dim + elmo_dim,
        num_layers: 1,
        hidden_dims: [p.hidden],
        activations: ['relu'],
        dropout: [p.pre_encode_dropout],
      },
      encoder: lstm(p.hidden, p.hidden),
      integrator: lstm(6 * p.hidden, p.hidden),
      integrator_dropout: p.integrator_dropout,
      output_layer: {
        input_dim: 8 * p.hidden,
        num_layers: 3,
        output_dims: p.maxout + [5],
        pool_sizes: p.pool,
        dropout: p.dropouts,
      },
    },
    data_loader: { batch_sampler: p.batches },
    validation_data_loader: { batch_size: 64 },
    trainer: p.trainer { validation_metric: '+accuracy' },
    random_seed: seed,
    numpy_seed: seed,
    pytorch_seed: seed,
  }
