// The dearest target tuned again after another method, on the smaller of the two corpora.
// elmo-mf sweep jsonnet/sweeps/published/tuned_methods.jsonnet --data data --threads 1 --output leaderboard
(import 'tuned.jsonnet') + {
  tasks: ['ptb'],
  compressions: [
    { method: 'whitened_svd', rank: 32, targets: 'input', finetune: { epochs: 1, learning_rate: 0.001 } },
  ],
}
