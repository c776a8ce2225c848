// Setting 1, tuned again for one epoch after compression: each target by plain SVD.
// elmo-mf sweep jsonnet/sweeps/published/tuned.jsonnet --data data --threads 1 --output leaderboard
(import 'language_models.jsonnet') + {
  compressions: [
    { method: 'svd', rank: 32, targets: target, finetune: { epochs: 1, learning_rate: 0.001 } }
    for target in ['input', 'recurrent', 'all']
  ],
}
