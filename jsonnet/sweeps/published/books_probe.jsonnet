// The ELMo that was trained on more books, by the probe of syntax: budgets, each target alone, and what they should beat.
// elmo-mf sweep published/books_probe --data data --threads 1 --output leaderboard
function(glove='data/words/glove.6B.100d.txt.gz')
  (import 'probes.jsonnet')(glove) + {
    options: 'weights/books/options.json',
    weights: 'weights/books/weights.hdf5',
    compressions:
      [
        { method: 'whitened_svd', budget: { share: share }, targets: 'joint+projection', highway_rank: 'budget' }
        for share in [0.5, 0.25, 0.125, 0.0625]
      ]
      + [{ method: 'svd', rank: 32, targets: 'all' }]
      + [{ method: 'svd', rank: 16, targets: target } for target in ['input', 'recurrent', 'projection']],
  }
