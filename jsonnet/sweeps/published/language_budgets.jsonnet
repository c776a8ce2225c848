// As language_models.jsonnet, with as many parameters in the core as rank 32 of both targets, allocated by what the last
// layer's outputs lose.
// elmo-mf sweep published/language_budgets --data data --threads 1 --output leaderboard
(import 'language_models.jsonnet') + {
  compressions: [
    { method: method, budget: { parameters: 324000 }, targets: 'all' }
    for method in ['svd', 'whitened_svd']
  ],
}
