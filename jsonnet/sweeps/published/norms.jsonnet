// Each matrix of the larger embedded ELMo alone, by the probe of syntax, for `elmo-mf explain`.
// elmo-mf sweep published/norms --data data --threads 1 --output leaderboard
{
  tasks: ['syntax-probe'],
  options: 'weights/base/options.json',
  weights: 'weights/base/weights.hdf5',
  methods: [],
  seeds: [1],
  compressions: [
    { method: 'svd', rank: rank, targets: target, layers: [layer], directions: [direction] }
    for target in ['input', 'recurrent', 'projection']
    for layer in [0, 1]
    for direction in ['forward', 'backward']
    for rank in [32, 8]
  ],
  latency_sentences: 8,
  latency_rounds: 2,
}
