// The larger embedded ELMo by a probe of syntax: no task's model is trained, and the test set has 42,405 words.
// elmo-mf sweep jsonnet/sweeps/published/probes.jsonnet --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz', tasks=['syntax-probe']) {
  tasks: tasks,
  glove: glove,
  options: 'weights/base/options.json',
  weights: 'weights/base/weights.hdf5',
  methods: [],
  seeds: [1],
  compressions:
    [
      { method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection', highway_rank: 'budget' }
      for share in [0.5, 0.25, 0.125, 0.0625]
    ]
    + [{ method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection' } for share in [0.25, 0.125]]
    + [{ method: method, rank: 32, targets: 'all' } for method in ['svd', 'whitened_svd', 'random', 'prune', 'semi_nmf']]
    + [{ method: 'svd', rank: rank, targets: 'all' } for rank in [8, 16]]
    + [{ method: 'svd', rank: 16, targets: target } for target in ['input', 'recurrent', 'projection']],
  precisions: ['int8', 'bfloat16'],
  baselines: ['shuffled', 'token-layer', 'no-encoder', 'words'],
  latency_sentences: 8,
  latency_rounds: 2,
}
