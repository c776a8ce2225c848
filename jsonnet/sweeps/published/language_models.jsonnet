// Setting 1 of the paper: the core of AWD-LSTM on whole corpora. Plain SVD by target and rank, and of each layer alone; the other
// methods at one rank. Nothing is fine-tuned; see tuned.jsonnet for that.
// elmo-mf sweep published/language_models --data data --threads 1 --output leaderboard
local targets = ['input', 'recurrent', 'all'];
{
  tasks: ['ptb', 'wikitext2'],
  methods: [],
  seeds: [1, 2, 3],
  // about as many steps as eight epochs of the Penn Treebank
  overrides: { wikitext2: { 'trainer.num_epochs': 4 } },
  compressions:
    [{ method: 'svd', rank: rank, targets: target } for rank in [8, 32, 128] for target in targets]
    + [{ method: 'svd', rank: 32, targets: target, layers: [layer] } for target in ['input', 'recurrent'] for layer in [0, 1, 2]]
    + [
      { method: method, rank: 32, targets: target }
      for method in ['whitened_svd', 'fisher_svd', 'prune', 'semi_nmf']
      for target in targets
    ]
    + [{ method: method, rank: 32, targets: 'all' } for method in ['nmf', 'random']],
  latency_sentences: 8,
  latency_rounds: 3,
}
