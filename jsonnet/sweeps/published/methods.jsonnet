// Methods with as many parameters as rank 8 of all targets, and the data-aware one with half of them, with shared left
// factors, and with ranks that a budget chooses, by what the outputs lose and by the matrices alone.
// elmo-mf sweep jsonnet/sweeps/published/methods.jsonnet --data data --threads 1 --output leaderboard
(import 'settings.libsonnet') + {
  methods: ['svd', 'whitened_svd', 'fisher_svd', 'prune', 'semi_nmf'],
  targets: ['all'],
  ranks: [8],
  seeds: [1, 2, 3],
  compressions: [
    { method: 'svd', rank: 16, targets: 'all' },
    { method: 'whitened_svd', rank: 4, targets: 'all' },
    { method: 'whitened_svd', budget: { parameters: 161792 }, targets: 'joint+projection' },
    { method: 'whitened_svd', budget: { parameters: 161792 }, allocation: 'matrices', targets: 'joint+projection' },
  ],
}
