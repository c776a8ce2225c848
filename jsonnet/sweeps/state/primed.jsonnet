// elmo-mf sweep jsonnet/sweeps/state/primed.jsonnet --data DATA --output runs/state
(import 'grid.libsonnet')('primed')
