// elmo-mf sweep jsonnet/sweeps/state/zero.jsonnet --data DATA --output docs/performance/state
(import 'grid.libsonnet')('zero')
