// Each matrix of an ELMo alone, at two ranks, in perplexity and by the probe of syntax, for `elmo-mf explain`.
// elmo-mf sweep published/norms --data data --threads 1 --output leaderboard
function(elmo='base', tasks=['wikitext2-bilm', 'syntax-probe'])
  (import 'bilm.jsonnet')(tasks) + {
    options: 'weights/%s/options.json' % elmo,
    weights: 'weights/%s/weights.hdf5' % elmo,
    baselines: [],
    precisions: [],
    compressions: [
      { method: 'svd', rank: rank, targets: target, layers: [layer], directions: [direction] }
      for rank in [8, 32]
      for target in ['input', 'recurrent', 'projection']
      for layer in [0, 1]
      for direction in ['forward', 'backward']
    ],
  }
