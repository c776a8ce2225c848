// The larger embedded ELMo in task models that were trained with it, compressed afterwards: one model a seed.
// elmo-mf sweep published/swapped --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz', tasks=['sst', 'snli']) {
  tasks: tasks,
  preset: 'board',
  glove: glove,
  options: 'weights/base/options.json',
  weights: 'weights/base/weights.hdf5',
  views: ['swapped'],
  methods: [],
  seeds: [1],
  compressions: import 'encoders.libsonnet',
  precisions: ['int8', 'bfloat16'],
  baselines: ['shuffled'],
  latency_sentences: 8,
  latency_rounds: 2,
}
