// elmo-mf sweep jsonnet/sweeps/state/zero.jsonnet --data DATA --output runs/state
(import 'grid.libsonnet')('zero')
