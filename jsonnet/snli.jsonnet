// Natural language inference (SNLI) with the enhanced sequential inference model of Chen et al. 2017.
// From the project's root: allennlp train jsonnet/snli.jsonnet -s OUT
local elmo = import 'lib/elmo.libsonnet';
local words = import 'lib/words.libsonnet';

function(
  preset=(import 'lib/demo.libsonnet'),
  data='tasks/snli/demo',
  options_file='weights/demo/options.json',
  weight_file='weights/demo/weights.hdf5',
  elmo_dim=elmo.dim(import '../weights/demo/options.json'),
  compression=null,
  cache_mb=1000,
  seed=13,
)
  local p = preset.snli;
  local w = words(p.glove);
  local lstm = (import 'lib/lstm.libsonnet')(p);
  local feedforward(input, output, activation, dropout=0) = {
    input_dim: input,
    num_layers: 1,
    hidden_dims: output,
    activations: activation,
    dropout: dropout,
  };
  {
    dataset_reader: {
      type: 'snli',
      [if p.tokenizer != null then 'tokenizer']: p.tokenizer,
      token_indexers: w.indexers + elmo.indexers,
    },
    train_data_path: data + '/train.jsonl',
    validation_data_path: data + '/dev.jsonl',
    test_data_path: data + '/test.jsonl',
    model: {
      type: 'esim',
      text_field_embedder: {
        token_embedders: w.embedders + elmo.embedder(options_file, weight_file, compression, cache_mb, p.elmo_dropout, p.elmo_mix),
      },
      dropout: p.dropout,
      encoder: lstm(w.dim + elmo_dim, p.hidden),
      matrix_attention: { type: 'dot_product' },
      projection_feedforward: feedforward(8 * p.hidden, p.hidden, 'relu'),
      inference_encoder: lstm(p.hidden, p.hidden),
      output_feedforward: feedforward(8 * p.hidden, p.hidden, 'relu', p.dropout),
      output_logit: feedforward(p.hidden, 3, 'linear'),
      initializer: p.initializer,
    },
    data_loader: { batch_sampler: p.batches },
    validation_data_loader: { batch_size: 64 },
    trainer: p.trainer { validation_metric: '+accuracy' },
    random_seed: seed,
    numpy_seed: seed,
    pytorch_seed: seed,
  }
