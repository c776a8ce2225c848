// What every method must beat.
// elmo-mf sweep jsonnet/sweeps/published/floors.jsonnet --data data --threads 1 --output leaderboard
(import 'settings.libsonnet') + {
  methods: ['nmf', 'random'],
  targets: ['all'],
  ranks: [8],
  seeds: [1, 2, 3],
}
