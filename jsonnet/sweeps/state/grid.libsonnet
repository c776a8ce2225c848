// Does it help a task when sentences start from a warmed-up LSTM? The published settings on all of SST, with the state
// policy given.
function(state) (import '../published/settings.libsonnet') + {
  tasks: ['sst'],
  targets: ['all'],
  ranks: [16],
  seeds: [1, 2, 3, 4, 5],
  limit: null,
  latency_sentences: 16,
  latency_rounds: 3,
  overrides: std.mapWithKey(function(task, changes) changes + {
    'model.text_field_embedder.token_embedders.elmo_mf.state': state,
  }, super.overrides),
}
