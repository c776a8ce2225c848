// The larger embedded ELMo, with as many parameters as rank 16 of all targets, about a seventh of the dense encoder's.
// elmo-mf sweep jsonnet/sweeps/published/base.jsonnet --data data --threads 1 --output leaderboard
(import 'settings.libsonnet') + {
  options: 'weights/base/options.json',
  weights: 'weights/base/weights.hdf5',
  methods: [],
  seeds: [1, 2, 3],
  compressions: [
    { method: 'whitened_svd', budget: { parameters: 403456 }, targets: 'joint+projection' },
    { method: 'whitened_svd', budget: { parameters: 403456 }, allocation: 'matrices', targets: 'joint+projection' },
    { method: 'svd', budget: { parameters: 403456 }, targets: 'all' },
    { method: 'svd', rank: 16, targets: 'all' },
    { method: 'svd', rank: 32, targets: 'all' },
    { method: 'whitened_svd', rank: 16, targets: 'all' },
  ],
}
