// Each target of each layer by itself, for `elmo-mf explain`.
// elmo-mf sweep jsonnet/sweeps/published/targets.jsonnet --data data --threads 1 --output leaderboard
(import 'settings.libsonnet') + {
  methods: [],
  seeds: [1, 2, 3],
  compressions: [
    { method: 'svd', rank: 4, targets: target, layers: [layer] }
    for target in ['input', 'recurrent', 'projection']
    for layer in [0, 1]
  ],
}
