// Question answering (SQuAD 1.1) with bidirectional attention flow, Seo et al. 2017.
// From the project's root: allennlp train jsonnet/squad.jsonnet -s OUT
local elmo = import 'lib/elmo.libsonnet';
local words = import 'lib/words.libsonnet';

function(
  preset=(import 'lib/demo.libsonnet'),
  data='tasks/squad/demo',
  options_file='weights/demo/options.json',
  weight_file='weights/demo/weights.hdf5',
  elmo_dim=elmo.dim(import '../weights/demo/options.json'),
  compression=null,
  cache_mb=1000,
  seed=13,
)
  local p = preset.squad;
  local w = words(p.glove);
  local lstm = (import 'lib/lstm.libsonnet')(p);
  local characters = p.characters;
  local character_dim = if characters == null then 0 else characters.filters;
  local embedding_dim = w.dim + character_dim + elmo_dim;
  {
    dataset_reader: {
      type: 'squad1',
      [if p.tokenizer != null then 'tokenizer']: p.tokenizer,
      token_indexers: w.indexers + elmo.indexers + (
        if characters == null then {} else {
          token_characters: {
            type: 'characters',
            character_tokenizer: { byte_encoding: 'utf-8', start_tokens: [259], end_tokens: [260] },
            min_padding_length: characters.width,
          },
        }
      ),
    },
    train_data_path: data + '/train.json',
    validation_data_path: data + '/dev.json',
    model: {
      type: 'bidaf',
      text_field_embedder: {
        token_embedders:
          w.embedders
          + elmo.embedder(options_file, weight_file, compression, cache_mb, p.elmo_dropout, p.elmo_mix)
          + (
            if characters == null then {} else {
              token_characters: {
                type: 'character_encoding',
                embedding: { num_embeddings: 262, embedding_dim: characters.dim },
                encoder: {
                  type: 'cnn',
                  embedding_dim: characters.dim,
                  num_filters: characters.filters,
                  ngram_filter_sizes: [characters.width],
                },
                dropout: characters.dropout,
              },
            }
          ),
      },
      num_highway_layers: p.highway_layers,
      phrase_layer: lstm(embedding_dim, p.phrase),
      matrix_attention: {
        type: 'linear',
        combination: 'x,y,x*y',
        tensor_1_dim: 2 * p.phrase,
        tensor_2_dim: 2 * p.phrase,
      },
      modeling_layer: lstm(8 * p.phrase, p.modeling, 2, p.dropout),
      span_end_encoder: lstm(8 * p.phrase + 6 * p.modeling, p.modeling),
      dropout: p.dropout,
      mask_lstms: p.mask_lstms,
    },
    data_loader: { batch_sampler: p.batches },
    validation_data_loader: { batch_size: 32 },
    trainer: p.trainer { validation_metric: '+em' },
    random_seed: seed,
    numpy_seed: seed,
    pytorch_seed: seed,
  }
