// As published/language_models: either target by the other methods, at other ranks.
// elmo-mf sweep published/language_methods --data data --threads 1 --output leaderboard
local targets = ['input', 'recurrent'];
(import 'language_models.jsonnet') + {
  compressions:
    [
      { method: method, rank: rank, targets: target }
      for method in ['whitened_svd', 'fisher_svd', 'semi_nmf', 'prune']
      for rank in [8, 128]
      for target in targets
    ]
    + [
      { method: method, rank: rank, targets: target }
      for method in ['nmf', 'random']
      for rank in [8, 32, 128]
      for target in targets
    ],
}
