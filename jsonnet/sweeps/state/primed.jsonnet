// elmo-mf sweep jsonnet/sweeps/state/primed.jsonnet --data DATA --output docs/performance/state
(import 'grid.libsonnet')('primed')
