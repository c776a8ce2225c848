// As published/language_models, with a budget of as many parameters as rank 32 of both targets, allocated by the loss of
// the last layer's outputs.
// elmo-mf sweep published/language_budgets --data data --threads 1 --output leaderboard
(import 'language_models.jsonnet') + {
  compressions: [
    { method: method, budget: { parameters: 324000 }, targets: 'all' }
    for method in ['svd', 'whitened_svd']
  ],
}
