// The probes of sentiment and inference, for the dense ELMo and what it should beat.
// elmo-mf sweep published/dense_probes --data data --threads 1 --output leaderboard
(import 'probes.jsonnet')(tasks=['sst-probe', 'snli-probe']) + { compressions: [] }
