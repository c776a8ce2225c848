// The probes of sentiment and inference, for the dense ELMo and what it should beat.
// elmo-mf sweep jsonnet/sweeps/published/dense_probes.jsonnet --data data --threads 1 --output leaderboard
(import 'probes.jsonnet')(tasks=['sst-probe', 'snli-probe']) + { compressions: [] }
