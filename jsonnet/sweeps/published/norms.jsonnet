// Each matrix of the larger embedded ELMo alone, at two ranks, for `elmo-mf explain`.
// elmo-mf sweep published/norms --data data --threads 1 --output leaderboard
function(tasks=['wikitext2-bilm'])
  (import 'bilm.jsonnet')(tasks) + {
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
