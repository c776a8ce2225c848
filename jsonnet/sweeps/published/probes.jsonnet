// The larger embedded ELMo by a probe of syntax: no task's model is trained, and the test set has 42,405 words.
// elmo-mf sweep published/probes --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz', tasks=['syntax-probe']) {
  tasks: tasks,
  glove: glove,
  options: 'weights/base/options.json',
  weights: 'weights/base/weights.hdf5',
  methods: [],
  seeds: [1],
  compressions: import 'encoders.libsonnet',
  precisions: ['int8', 'bfloat16'],
  baselines: ['shuffled', 'token-layer', 'no-encoder', 'words'],
  latency_sentences: 8,
  latency_rounds: 2,
}
